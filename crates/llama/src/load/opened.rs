//! A model whose numbers are read when they are asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use adapter::Real;
use ndarray::{Array2, ArrayViewMutD};
use tensor_file::StorageDtype;

use super::gguf::Gguf;
use super::hf::{self, Shards};
#[cfg(feature = "tokenizer")]
use crate::Tokenizer;
use crate::changes::{Changes, EMBEDDING, HEAD};
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
    /// What its numbers become when they are read.
    changes: Changes<f64>,
    /// Whether the files have one matrix for embedding and output.
    tied: bool,
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
                tied: config.tie_word_embeddings,
                changes: Changes::default(),
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
            tied: config.tie_word_embeddings,
            changes: Changes::default(),
            config,
            #[cfg(feature = "tokenizer")]
            tokenizer,
            path: path.to_owned(),
            weights: Weights::Gguf(file),
        })
    }

    /// From now on this is the changed model: what is read of it is changed, in `f64`.
    ///
    /// # Errors
    /// It lacks a tensor, or has it in another shape.
    pub fn change(&mut self, changes: Changes<f64>) -> Result<()> {
        changes.check(&self.config)?;
        self.config = changes.config(&self.config);
        self.changes = changes;
        Ok(())
    }

    /// Is it other than in the file?
    pub(crate) fn is_changed(&self, name: &str) -> bool {
        self.changes.contains(name)
    }

    /// The numbers of one of [`Config::tensors`], each rounded to `T`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn numbers<T: Real>(&mut self, name: &str, shape: &[usize]) -> Result<Vec<T>> {
        if !self.is_changed(name) {
            return self.stored(name, shape);
        }
        let mut numbers = self.stored::<f64>(name, shape)?;
        let tensor = ArrayViewMutD::from_shape(shape, &mut numbers);
        let tensor = tensor.expect("as many numbers as its shape asks for");
        self.changes.apply(name, tensor);
        Ok(numbers.into_iter().map(T::from_f64).collect())
    }

    /// One of the matrices, \[out, in\], in `f64`. `lm_head.weight` is there in a model that ties it too.
    ///
    /// # Errors
    /// The model has none of this name, or the file cannot be read.
    pub fn matrix(&mut self, name: &str) -> Result<Array2<f64>> {
        let shape = self.config.matrix_shape(name)?;
        let numbers = self.numbers::<f64>(name, &shape)?;
        Ok(Array2::from_shape_vec(shape, numbers).expect("as many numbers as its shape asks for"))
    }

    /// As the file has them.
    fn stored<T: Real>(&mut self, name: &str, shape: &[usize]) -> Result<Vec<T>> {
        let name = if self.tied && name == HEAD { EMBEDDING } else { name };
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
