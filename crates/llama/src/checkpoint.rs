//! A model and what belongs to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tensor_file::StorageDtype;

#[cfg(feature = "tokenizer")]
use crate::Tokenizer;
use crate::error::{bad, io, refused};
use crate::{Llama, Result};

/// The file that names the tokens that end a text.
pub(crate) const GENERATION: &str = "generation_config.json";
pub(crate) const CONFIG: &str = "config.json";

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
        files_beside(
            &self.path,
            #[cfg(feature = "tokenizer")]
            self.tokenizer.as_ref(),
        )
    }
}

/// See [`Checkpoint::files`].
pub(crate) fn files_beside(
    path: &Path,
    #[cfg(feature = "tokenizer")] tokenizer: Option<&Tokenizer>,
) -> Result<BTreeMap<String, Vec<u8>>> {
    if path.is_dir() {
        return files(path);
    }
    #[cfg(feature = "tokenizer")]
    if let Some(tokenizer) = tokenizer {
        return tokenizer.files();
    }
    Ok(BTreeMap::new())
}

/// What may stand beside the weights.
pub(crate) const BESIDE: [&str; 9] = [
    GENERATION,
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
];

/// The files of a folder that go with its weights.
fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for name in BESIDE {
        let path = folder.join(name);
        if path.is_file() {
            files.insert(name.to_owned(), std::fs::read(&path).map_err(io(&path))?);
        }
    }
    if !files.contains_key(GENERATION) {
        // Older folders name these tokens in the configuration.
        let config: Map<String, Value> =
            serde_json::from_str(&read_text(&folder.join(CONFIG))?).unwrap_or_default();
        let ids: Map<String, Value> =
            config.into_iter().filter(|(name, _)| name.ends_with("_token_id")).collect();
        let json = serde_json::to_vec_pretty(&ids).expect("plain data");
        files.insert(GENERATION.to_owned(), json);
    }
    Ok(files)
}

/// A text file, whole.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(io(path))?;
    if bytes.starts_with(b"version https://git-lfs") {
        return Err(bad(
            path,
            "a Git LFS pointer and not the file itself: `git lfs pull` fetches it",
        ));
    }
    String::from_utf8(bytes).map_err(refused(format!("{}: not UTF-8 text", path.display())))
}
