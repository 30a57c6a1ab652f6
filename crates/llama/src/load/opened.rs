//! A model whose numbers are read when they are asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use adapter::Real;
use tensor_file::StorageDtype;

use super::gguf::Gguf;
use super::hf::{self, Shards};
#[cfg(feature = "tokenizer")]
use crate::Tokenizer;
use crate::checkpoint::files_beside;
use crate::{Checkpoint, Config, Llama, Result};

/// A model on disk. Its configuration and its tokenizer are read, and every tensor is known to be there in the right shape.
pub struct Opened {
    /// Its shape.
    pub config: Config,
    /// What the weights are stored as; F32 for a quantised file.
    pub dtype: StorageDtype,
    #[cfg(feature = "tokenizer")]
    tokenizer: Option<Tokenizer>,
    path: PathBuf,
    weights: Weights,
}

enum Weights {
    Hf(Shards),
    Gguf(Gguf),
}

impl Opened {
    pub(super) fn open(path: &Path) -> Result<Self> {
        if path.is_dir() || hf::is_weights(path) {
            let (config, dtype, shards) = hf::open(path)?;
            let path = hf::folder_of(path);
            return Ok(Self {
                config,
                dtype,
                #[cfg(feature = "tokenizer")]
                tokenizer: Tokenizer::from_folder(&path)?,
                path,
                weights: Weights::Hf(shards),
            });
        }
        let mut file = Gguf::open(path)?;
        // What the model is comes before what its tokenizer may lack.
        let config = file.config()?;
        #[cfg(feature = "tokenizer")]
        let tokenizer = file.tokenizer()?;
        file.check_tensors(&config)?;
        Ok(Self {
            dtype: file.storage_dtype(),
            config,
            #[cfg(feature = "tokenizer")]
            tokenizer,
            path: path.to_owned(),
            weights: Weights::Gguf(file),
        })
    }

    /// The numbers of one of [`Config::tensors`], each rounded to `T`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn numbers<T: Real>(&mut self, name: &str, shape: &[usize]) -> Result<Vec<T>> {
        match &mut self.weights {
            Weights::Hf(shards) => shards.numbers(name),
            Weights::Gguf(file) => file.tensor(&self.config, name, shape),
        }
    }

    /// What belongs beside the weights: see [`Checkpoint::files`].
    ///
    /// # Errors
    /// As there.
    pub fn files(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        files_beside(
            &self.path,
            #[cfg(feature = "tokenizer")]
            self.tokenizer.as_ref(),
        )
    }

    /// All of it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn load<T: Real>(mut self) -> Result<Checkpoint<T>> {
        let config = self.config.clone();
        let model = Llama::build(config, |name, shape| self.numbers(name, shape))?;
        Ok(Checkpoint {
            model,
            #[cfg(feature = "tokenizer")]
            tokenizer: self.tokenizer,
            dtype: self.dtype,
            path: self.path,
        })
    }
}
