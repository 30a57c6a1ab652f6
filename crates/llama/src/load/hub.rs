//! A model by its hub id, through `hf-hub`: the files land in the cache that every Hugging Face library shares.

use std::path::{Path, PathBuf};

use hf_hub::Cache;
use hf_hub::api::sync::{Api, ApiBuilder};

use super::bad;
use crate::Result;

/// The folder with the model's files, downloaded unless the cache has them.
///
/// # Errors
/// The hub cannot be reached, does not know the id, or does not let us in.
pub(super) fn fetch(id: &str) -> Result<PathBuf> {
    let api = ApiBuilder::from_env().build();
    let api = api.map_err(|error| bad(Path::new(id), format!("the hub's cache: {error}")))?;
    fetch_from(&api, &Cache::from_env(), id)
}

fn fetch_from(api: &Api, cache: &Cache, id: &str) -> Result<PathBuf> {
    let repository = api.model(id.to_owned());
    let files = match repository.info() {
        Ok(info) => info.siblings.into_iter().map(|file| file.rfilename),
        // Without a network, what was downloaded before will do.
        Err(error) => {
            let folder = cache.model(id.to_owned()).get("config.json").and_then(parent);
            return folder.ok_or_else(|| unreachable_hub(id, &error));
        }
    };
    let mut folder = None;
    let wanted: Vec<String> = files.filter(|name| is_part_of_a_model(name)).collect();
    // Many repositories hold the same weights twice, whole and in shards.
    let whole = wanted.iter().any(|name| name == "model.safetensors");
    for name in &wanted {
        if whole && name != "model.safetensors" && name.contains(".safetensors") {
            continue;
        }
        let path = repository.get(name).map_err(|error| unreachable_hub(id, &error))?;
        folder = folder.or(parent(path));
    }
    folder.ok_or_else(|| bad(Path::new(id), "it has no config.json and no safetensors on the hub"))
}

fn is_part_of_a_model(name: &str) -> bool {
    const BESIDE: [&str; 6] = [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",
    ];
    let weights = name.starts_with("model")
        && (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json"));
    !name.contains('/') && (weights || BESIDE.contains(&name))
}

fn parent(path: PathBuf) -> Option<PathBuf> {
    path.parent().map(Path::to_owned)
}

fn unreachable_hub(id: &str, error: &impl std::fmt::Display) -> crate::Error {
    bad(
        Path::new(id),
        format!(
            "no such folder, and the hub did not give it ({error}): download the model's folder and give its path, or \
             set HF_TOKEN for a model behind a licence"
        ),
    )
}
