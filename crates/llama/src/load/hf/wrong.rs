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
const CONSOLIDATED: &str =
    "consolidated files name their tensors in another way: take the model in Hugging Face's layout";

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
        let hint = match self.path_of(|name| name.ends_with(".gguf")) {
            Some(path) => format!("give the file itself, {path}"),
            None if self.is_consolidated() => CONSOLIDATED.into(),
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
        let hint = if self.is_consolidated() {
            CONSOLIDATED.into()
        } else if let Some(path) = self.path_of(is_pickle) {
            format!(
                "{path} is a pickle, which can run any program and is not read: transformers' from_pretrained and \
                 save_pretrained make safetensors of it"
            )
        } else if let Some(path) = self.path_of(is_model) {
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

    /// As Meta and Mistral publish their models.
    fn is_consolidated(&self) -> bool {
        self.names.iter().any(|name| name.starts_with("consolidated"))
    }

    fn path_of(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let name = self.names.iter().find(|name| wanted(name));
        name.map(|name| self.folder.join(name).display().to_string())
    }
}

/// Weights as PyTorch saves them; not the optimiser's state beside them.
fn is_pickle(name: &str) -> bool {
    name.starts_with("pytorch_model") || name.ends_with(".pth") || name.ends_with(".ckpt")
}

fn is_model(name: &str) -> bool {
    name.ends_with(".safetensors") || name.ends_with(".gguf")
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
