//! Where the model and its words come from: the embedded tiny model, or one on disk or on the hub.

use adapter::Real;
use anyhow::Result;
use finetune::Words;
use llama::{Llama, tiny};

/// A model and what turns text into its tokens.
pub struct Source<T> {
    pub model: Llama<T>,
    pub words: Words,
}

impl<T: Real> Source<T> {
    /// Load `--model`, or the embedded model when there is none.
    pub fn load(model: Option<&str>) -> Result<Self> {
        let Some(model) = model else {
            return Ok(Self { model: tiny::model()?, words: Words::Digits });
        };
        let checkpoint = llama::load::load::<T>(model)?;
        #[cfg(feature = "tokenizer")]
        let words = match checkpoint.tokenizer {
            Some(tokenizer) => Words::Tokenizer(Box::new(tokenizer)),
            None => Words::None,
        };
        #[cfg(not(feature = "tokenizer"))]
        let words = Words::None;
        Ok(Self { model: checkpoint.model, words })
    }
}
