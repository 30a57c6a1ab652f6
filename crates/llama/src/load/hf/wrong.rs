//! Folders that are no model in the layout that is read, and what they are instead.

use std::path::Path;

use serde_json::Value;

use super::is_weights;
use super::shards::{INDEX, SINGLE};
use crate::Result;
use crate::checkpoint::CONFIG;
use crate::error::{bad, io};

/// Is there what a model is loaded from?
pub(super) fn check(source: &Path, folder: &Path) -> Result<()> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io(folder))? {
        names.push(entry.map_err(io(folder))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let there = |name: &str| names.iter().any(|other| other == name);
    let weights = is_weights(source) || there(SINGLE) || there(INDEX);
    let adapter = source.file_name().is_some_and(|name| name == ADAPTER);
    if adapter || (there(ADAPTER_CONFIG) && !(weights && there(CONFIG))) {
        return Err(bad(source, an_adapter(folder)));
    }
    let named = |ends: &[&str]| {
        names.iter().find(|name| ends.iter().any(|end| name.ends_with(end))).cloned()
    };
    if !there(CONFIG) {
        let hint = match named(&[".gguf"]) {
            Some(name) => format!("give the file itself, {}", folder.join(name).display()),
            None => "a Hugging Face folder or a .gguf file is needed".into(),
        };
        return Err(bad(folder, format!("no {CONFIG} in it: {hint}")));
    }
    if weights {
        return Ok(());
    }
    let hint = if names.iter().any(|name| name.starts_with("consolidated")) {
        "consolidated files name their tensors in another way: take the model in Hugging Face's layout".into()
    } else if let Some(name) = named(&[".bin", ".pt", ".pth", ".ckpt"]) {
        format!(
            "{name} is a pickle, which can run any program and is not read: transformers' \
             from_pretrained and save_pretrained make safetensors of it"
        )
    } else if let Some(name) = named(&[".safetensors", ".gguf"]) {
        format!("is {} the model? Then give that file", folder.join(name).display())
    } else {
        "the weights were not downloaded".into()
    };
    Err(bad(folder, format!("neither {SINGLE} nor {INDEX} is in it: {hint}")))
}

const ADAPTER: &str = "adapter_model.safetensors";
const ADAPTER_CONFIG: &str = "adapter_config.json";

fn an_adapter(folder: &Path) -> String {
    let config = std::fs::read_to_string(folder.join(ADAPTER_CONFIG)).unwrap_or_default();
    let config: Value = serde_json::from_str(&config).unwrap_or_default();
    let base = match config["base_model_name_or_path"].as_str() {
        Some(base) if !base.is_empty() => format!(", {base},"),
        _ => String::new(),
    };
    format!("this is an adapter: give its base{base} as --model and the folder as --adapter")
}
