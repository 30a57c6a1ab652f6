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

/// The chat template, in a file of its own.
pub(crate) const TEMPLATE: &str = "chat_template.jinja";
/// The folder of others, such as the one for conversations with tools.
pub(crate) const TEMPLATES: &str = "additional_chat_templates";

/// Is it the name of such a file?
pub(crate) fn is_template(name: &str) -> bool {
    let inside = name.strip_prefix(TEMPLATES).and_then(|name| name.strip_prefix('/'));
    inside.is_some_and(|file| file.ends_with(".jinja") && !file.contains('/'))
}

/// The names of those that a folder has.
pub(crate) fn more_templates(folder: &Path) -> Result<Vec<String>> {
    let folder = folder.join(TEMPLATES);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(io(&folder))? {
        let file = entry.map_err(io(&folder))?.file_name();
        names.push(format!("{TEMPLATES}/{}", file.to_string_lossy()));
    }
    names.retain(|name| is_template(name));
    names.sort();
    Ok(names)
}

/// What may stand beside the weights.
pub(crate) const BESIDE: [&str; 9] = [
    GENERATION,
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    TEMPLATE,
    "vocab.json",
    "merges.txt",
];

/// The files of a folder that go with its weights.
fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for name in BESIDE.map(str::to_owned).into_iter().chain(more_templates(folder)?) {
        let path = folder.join(&name);
        if path.is_file() {
            let contents = std::fs::read(&path).map_err(io(&path))?;
            files.insert(name, contents);
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
