//! GGUF files, versions 2 and 3: llama.cpp's format, weights, configuration and tokenizer in one.

mod config;
mod file;
mod metadata;
mod names;
mod parts;
mod problem;
mod rope;
mod source;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use adapter::Real;
use tensor_file::StorageDtype;

use self::file::{Part, Tensor, Tensors};
use self::metadata::Metadata;
use self::names::{rotate_halves, stored_name};
#[cfg(feature = "tokenizer")]
use self::problem::Outcome;
use super::check_shape;
use super::dequantise::Format;
use crate::checkpoint::CONFIG;
use crate::error::bad;
use crate::{Architecture, Config, Result};

/// An open model: one file or several, its metadata and its table of tensors.
pub(super) struct Gguf {
    /// The file that was asked for.
    path: PathBuf,
    parts: Vec<Part>,
    metadata: Metadata,
    tensors: Tensors,
}

/// The one GGUF model of a folder that has no `config.json`: its file, or the first of its parts.
pub(super) fn only_one_in(folder: &Path) -> Option<PathBuf> {
    let entries = folder.read_dir().ok().filter(|_| !folder.join(CONFIG).exists())?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut models = names.filter(|name| {
        let number = name.rsplit_once("-of-").and_then(|(start, _)| start.rsplit_once('-'));
        // Beside a model that sees, `mmproj` is its eye.
        let part = number.is_some_and(|(_, number)| number.parse() != Ok(1) && !number.is_empty());
        name.ends_with(".gguf") && !part && !name.starts_with("mmproj")
    });
    let first = models.next()?;
    models.next().is_none().then(|| folder.join(first))
}

impl Gguf {
    /// What the matrices are stored as; F32 if they differ, or are in blocks.
    pub fn storage_dtype(&self) -> StorageDtype {
        let matrices = self.tensors.values().filter(|tensor| tensor.shape.len() > 1);
        let mut dtypes = matrices.map(|tensor| match tensor.format {
            Format::Plain(dtype) => Some(dtype),
            Format::Blocks(_) => None,
        });
        let first = dtypes.next().flatten();
        first.filter(|_| dtypes.all(|dtype| dtype == first)).unwrap_or(StorageDtype::F32)
    }

    /// The configuration.
    ///
    /// # Errors
    /// It is a model that is not computed, or a number is missing or wrong.
    pub fn config(&mut self) -> Result<Config> {
        let mut config = self.described().map_err(|problem| problem.at(&self.path))?;
        config.validate().map_err(|error| error.in_file(&self.path))?;
        if config.variant.architecture == Architecture::Phi3 {
            config.rope_scaling = self.long_rope(&config)?;
            config.validate().map_err(|error| error.in_file(&self.path))?;
        } else if self.tensors.contains_key(rope::FACTORS) {
            if config.rope_scaling.is_some() {
                let reason =
                    format!("{} and a rope.scaling.factor: one of them is read", rope::FACTORS);
                return Err(bad(&self.path, reason));
            }
            let factors = self.read::<f64>(rope::FACTORS, &[config.head_dim / 2])?;
            let scaling = rope::llama3_scaling(&config, &factors);
            config.rope_scaling = scaling.map_err(|problem| problem.at(&self.path))?;
        }
        Ok(config)
    }

    /// Are the tensors those of the model of [`config`](Self::config)?
    ///
    /// # Errors
    /// One is missing, has another shape, or is left over.
    pub fn check_tensors(&self, config: &Config) -> Result<()> {
        let mut left: BTreeSet<String> = self.tensors.keys().cloned().collect();
        let factors = rope::factors(config.variant.architecture);
        left.retain(|name| !factors.contains(&name.as_str()));
        config.try_for_each_tensor(|name, shape| {
            let stored = stored_name(name, config.variant.norms);
            left.remove(&stored);
            let tensor = self.find(&stored)?;
            check_shape(&self.parts[tensor.part].path, &stored, &tensor.shape, shape)
        })?;
        match left.into_iter().next() {
            // A tensor that is not read is a part of the model that is not computed.
            Some(name) => Err(bad(&self.path, format!("{name} is no tensor of this architecture"))),
            None => Ok(()),
        }
    }

    /// The numbers of a tensor by Hugging Face's name, in Hugging Face's order.
    pub fn tensor<T: Real>(
        &mut self,
        config: &Config,
        name: &str,
        shape: &[usize],
    ) -> Result<Vec<T>> {
        let interleaved =
            self.architecture().map_err(|problem| problem.at(&self.path))?.interleaved;
        let (heads, key_heads) = (config.num_attention_heads, config.num_key_value_heads);
        let head_dim = config.head_dim;
        let stored = stored_name(name, config.variant.norms);
        let mut values: Vec<T> = self.read(&stored, shape)?;
        // llama.cpp's converter adds the 1.
        if config.variant.gains_from_one && stored.ends_with("norm.weight") {
            values.iter_mut().for_each(|value| *value -= T::one());
        }
        Ok(match stored.rsplit('.').nth(1) {
            Some("attn_q") if interleaved => rotate_halves(&values, heads, head_dim),
            Some("attn_k") if interleaved => rotate_halves(&values, key_heads, head_dim),
            _ => values,
        })
    }

    fn find(&self, name: &str) -> Result<&Tensor> {
        let tensor = self.tensors.get(name);
        tensor.ok_or_else(|| bad(&self.path, format!("the tensor {name} is missing")))
    }

    /// One tensor, which must have the shape that the configuration asks for.
    fn read<T: Real>(&mut self, name: &str, shape: &[usize]) -> Result<Vec<T>> {
        let tensor = self.tensors.get(name);
        let tensor =
            tensor.ok_or_else(|| bad(&self.path, format!("the tensor {name} is missing")))?;
        let part = &mut self.parts[tensor.part];
        check_shape(&part.path, name, &tensor.shape, shape)?;
        part.read(tensor)
    }

    /// The tokenizer, if there is one.
    #[cfg(feature = "tokenizer")]
    pub fn tokenizer(&mut self) -> Result<Option<crate::Tokenizer>> {
        if !self.metadata.0.contains_key("tokenizer.ggml.model") {
            return Ok(None);
        }
        let vocabulary = self.vocabulary().map_err(|problem| problem.at(&self.path))?;
        let tokenizer = crate::Tokenizer::from_vocabulary(vocabulary);
        tokenizer.map(Some).map_err(|error| error.in_file(&self.path))
    }

    #[cfg(feature = "tokenizer")]
    fn vocabulary(&mut self) -> Outcome<crate::tokenizer::Vocabulary> {
        let key = |name: &str| format!("tokenizer.ggml.{name}");
        let mut ids = std::collections::BTreeMap::new();
        for name in ["bos", "eos", "eot", "eom", "unknown", "padding"] {
            if let Some(id) = self.metadata.optional_size(&key(&format!("{name}_token_id")))? {
                let id = u32::try_from(id).map_err(|_| format!("{name}_token_id is {id}"))?;
                ids.insert(name, id);
            }
        }
        let architecture = self.metadata.text("general.architecture")?.unwrap_or_default();
        Ok(crate::tokenizer::Vocabulary {
            architecture,
            model: self.metadata.text(&key("model"))?.unwrap_or_default(),
            pre: self.metadata.text(&key("pre"))?,
            tokens: self.strings(&key("tokens"))?.ok_or("tokenizer.ggml.tokens is missing")?,
            scores: self.numbers(&key("scores"))?,
            types: self.numbers(&key("token_type"))?,
            merges: self.strings(&key("merges"))?,
            ids,
            add_bos: self.metadata.flag(&key("add_bos_token"))?,
            add_eos: self.metadata.flag(&key("add_eos_token"))?,
            add_space_prefix: self.metadata.flag(&key("add_space_prefix"))?,
            chat_template: self.metadata.text("tokenizer.chat_template")?,
            tool_template: self
                .metadata
                .text(&format!("tokenizer.chat_template.{}", crate::chat::TOOL_USE))?,
        })
    }
}
