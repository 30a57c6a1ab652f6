//! Folders that are no model in the layout that is read, and what they are instead.

use std::path::Path;

use serde_json::Value;

use super::is_weights;
use super::shards::{INDEX, SINGLE};
use crate::Result;
use crate::checkpoint::CONFIG;
use crate::error::{bad, io};

const ADAPTER: &str = "adapter_model.safetensors";
const ADAPTER_CONFIG: &str = "adapter_config.json";

/// What is in a folder, for errors that say what is wrong with it.
pub(super) struct Contents<'a> {
    source: &'a Path,
    folder: &'a Path,
    /// Sorted.
    names: Vec<String>,
}

impl<'a> Contents<'a> {
    pub fn of(source: &'a Path, folder: &'a Path) -> Result<Self> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(io(folder))? {
            names.push(entry.map_err(io(folder))?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(Self { source, folder, names })
    }

    /// # Errors
    /// It is an adapter, or there is no configuration.
    pub fn check_configuration(&self) -> Result<()> {
        let named = self.source.file_name().is_some_and(|name| name == ADAPTER);
        let model = self.has(CONFIG) && self.has_weights();
        if named || (self.has(ADAPTER_CONFIG) && !model) {
            return Err(bad(self.source, an_adapter(self.folder)));
        }
        if self.has(CONFIG) {
            return Ok(());
        }
        let hint = match self.ends_in(&[".gguf"]) {
            Some(path) => format!("give the file itself, {path}"),
            None => "a Hugging Face folder or a .gguf file is needed".into(),
        };
        Err(bad(self.folder, format!("no {CONFIG} in it: {hint}")))
    }

    /// # Errors
    /// There are no weights, or they are in another format.
    pub fn check_weights(&self) -> Result<()> {
        if self.has_weights() {
            return Ok(());
        }
        let hint = if self.names.iter().any(|name| name.starts_with("consolidated")) {
            "consolidated files name their tensors in another way: take the model in Hugging Face's layout"
                .into()
        } else if let Some(path) = self.ends_in(&[".bin", ".pt", ".pth", ".ckpt"]) {
            format!(
                "{path} is a pickle, which can run any program and is not read: transformers' from_pretrained and \
                 save_pretrained make safetensors of it"
            )
        } else if let Some(path) = self.ends_in(&[".safetensors", ".gguf"]) {
            format!("is {path} the model? Then give that file")
        } else {
            "the weights were not downloaded".into()
        };
        Err(bad(self.folder, format!("neither {SINGLE} nor {INDEX} is in it: {hint}")))
    }

    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|other| other == name)
    }

    fn has_weights(&self) -> bool {
        is_weights(self.source) || self.has(SINGLE) || self.has(INDEX)
    }

    fn ends_in(&self, ends: &[&str]) -> Option<String> {
        let found = self.names.iter().find(|name| ends.iter().any(|end| name.ends_with(end)));
        found.map(|name| self.folder.join(name).display().to_string())
    }
}

fn an_adapter(folder: &Path) -> String {
    let config = std::fs::read_to_string(folder.join(ADAPTER_CONFIG)).unwrap_or_default();
    let config: Value = serde_json::from_str(&config).unwrap_or_default();
    let base = match config["base_model_name_or_path"].as_str() {
        Some(base) if !base.is_empty() => format!(", {base},"),
        _ => String::new(),
    };
    format!("this is an adapter: give its base{base} as --model and the folder as --adapter")
}
