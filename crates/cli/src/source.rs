//! Where the model and its words come from: the embedded tiny model, or one on disk or on the hub.

use adapter::Real;
use anyhow::Result;
use finetune::Words;
use llama::{Llama, tiny};
use methods::Base;

/// A model and what turns text into its tokens.
pub struct Source<T> {
    pub model: Llama<T>,
    pub words: Words,
    /// The model's name and the files beside its weights.
    pub base: Base,
}

impl<T: Real> Source<T> {
    /// Load `--model`, or the embedded model when there is none.
    pub fn load(model: Option<&str>) -> Result<Self> {
        let Some(model) = model else {
            let base = Base { name: None, files: tiny::files() };
            return Ok(Self { model: tiny::model()?, words: Words::Digits, base });
        };
        let checkpoint = llama::load::load::<T>(model)?;
        let base = Base { name: Some(model.to_owned()), files: checkpoint.files()? };
        #[cfg(feature = "tokenizer")]
        let words = match checkpoint.tokenizer {
            Some(tokenizer) => Words::Tokenizer(Box::new(tokenizer)),
            None => Words::None,
        };
        #[cfg(not(feature = "tokenizer"))]
        let words = Words::None;
        Ok(Self { model: checkpoint.model, words, base })
    }
}
