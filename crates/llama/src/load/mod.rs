//! Models from disk or from the hub: Hugging Face folders and GGUF files.
//!
//! Every reader checks what a file claims against its size before it allocates, and reads one tensor at a time: the
//! memory needed is that of the model and a small buffer.

mod dequantise;
mod gguf;
mod hf;
#[cfg(feature = "hub")]
mod hub;
mod safetensors;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use adapter::Real;

#[cfg(feature = "tokenizer")]
use crate::Tokenizer;
use crate::save::StorageDtype;
use crate::{Error, Llama, Result};

/// A model and what came with it.
#[derive(Clone, Debug)]
pub struct Checkpoint<T> {
    /// The weights.
    pub model: Llama<T>,
    /// Its tokenizer, if it has one.
    #[cfg(feature = "tokenizer")]
    pub tokenizer: Option<Tokenizer>,
    /// What the weights are stored as; F32 for a quantised file.
    pub dtype: StorageDtype,
    /// The folder or the file it was read from.
    pub path: PathBuf,
}

impl<T> Checkpoint<T> {
    /// The files that belong beside the weights in a Hugging Face folder, by name: the tokenizer's, and
    /// `generation_config.json`, which names the tokens that end a text.
    ///
    /// # Errors
    /// A file of the folder it came from cannot be read.
    pub fn files(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        if self.path.is_dir() {
            return hf::files(&self.path);
        }
        #[cfg(feature = "tokenizer")]
        if let Some(tokenizer) = &self.tokenizer {
            return tokenizer.files();
        }
        Ok(BTreeMap::new())
    }
}

/// Load a model: a Hugging Face folder, a `.gguf` file, or a hub id `owner/name`. What exists on disk goes before the
/// hub.
///
/// # Errors
/// There is no such file; it is cut off or inconsistent; or it needs what this decoder does not have, which is named.
pub fn load<T: Real>(source: impl AsRef<Path>) -> Result<Checkpoint<T>> {
    let source = source.as_ref();
    let path = if source.exists() { source.to_owned() } else { fetch(source)? };
    if path.is_dir() {
        let (model, format) = hf::load(&path)?;
        return Ok(Checkpoint {
            model,
            #[cfg(feature = "tokenizer")]
            tokenizer: Tokenizer::from_folder(&path)?,
            dtype: format.into(),
            path,
        });
    }
    let mut file = gguf::Gguf::open(&path)?;
    Ok(Checkpoint {
        #[cfg(feature = "tokenizer")]
        tokenizer: file.tokenizer()?,
        dtype: file.format().into(),
        model: file.model()?,
        path,
    })
}

/// The folder with the files of a hub id.
fn fetch(source: &Path) -> Result<PathBuf> {
    let hub_id = source.to_str().filter(|text| is_hub_id(text));
    match hub_id {
        #[cfg(feature = "hub")]
        Some(id) => hub::fetch(id),
        #[cfg(not(feature = "hub"))]
        Some(_) => Err(bad(
            source,
            "no such folder, and this program was built without its `hub` feature: download the model's folder and \
             give its path",
        )),
        None => Err(bad(source, "no such file or folder, and not a hub id (owner/name)")),
    }
}

/// Is it `owner/name`?
fn is_hub_id(text: &str) -> bool {
    let part = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !part.is_empty() && !part.starts_with('.') && part.chars().all(plain)
    };
    text.split_once('/').is_some_and(|(owner, name)| {
        part(owner) && part(name) && !name.ends_with(".gguf") && !name.ends_with(".safetensors")
    })
}

/// A file whose content is wrong.
fn bad(path: &Path, reason: impl Into<String>) -> Error {
    Error::File { path: path.to_owned(), reason: reason.into() }
}

/// A file that cannot be read.
fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Io { path: path.to_owned(), source }
}

fn check_shape(path: &Path, name: &str, got: &[usize], want: &[usize]) -> Result<()> {
    if got == want {
        return Ok(());
    }
    Err(bad(path, format!("{name} has shape {got:?} where the configuration asks for {want:?}")))
}

impl From<dequantise::Format> for StorageDtype {
    fn from(format: dequantise::Format) -> Self {
        use dequantise::Format;
        match format {
            Format::F64 => Self::F64,
            Format::F16 => Self::F16,
            Format::Bf16 => Self::Bf16,
            Format::F32 | Format::Q8_0 | Format::Q4_0 | Format::Q4_1 => Self::F32,
        }
    }
}
