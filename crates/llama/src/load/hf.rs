//! A Hugging Face folder: `config.json` and `model.safetensors`, or shards with their index, or a file of weights by
//! another name.

mod shards;
mod wrong;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tensor_file::StorageDtype;

pub(super) use self::shards::Shards;
use super::check_shape;
use crate::checkpoint::{CONFIG, read_text};
use crate::error::bad;
use crate::{Config, Error, Result};

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// Is it a file of weights that a `config.json` beside it describes?
pub(super) fn is_weights(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "safetensors")
}

/// The folder that a file of weights is in; a folder itself.
pub(super) fn folder_of(source: &Path) -> PathBuf {
    match source.parent() {
        Some(parent) if is_weights(source) && parent != Path::new("") => parent.to_owned(),
        Some(_) if is_weights(source) => ".".into(),
        _ => source.to_owned(),
    }
}

/// A folder, or a file of weights: the model's configuration, how its weights are stored, and where they are.
///
/// # Errors
/// A tensor of the model is missing or has another shape, or there is one that the model has no place for.
pub(super) fn open(source: &Path) -> Result<(Config, StorageDtype, Shards)> {
    let folder = folder_of(source);
    let contents = wrong::Contents::of(source, &folder)?;
    contents.check_configuration()?;
    let path = folder.join(CONFIG);
    let mut config = Config::from_json(&read_text(&path)?).map_err(|error| error.in_file(&path))?;
    contents.check_weights()?;
    let mut shards = match is_weights(source) && !shards::is_shard(source) {
        true => Shards::open_file(source)?,
        false => Shards::open_folder(&folder)?,
    };
    if config.tie_word_embeddings {
        config.tie_word_embeddings = is_tied(&mut shards)?;
    }
    let tied = config.tie_word_embeddings;
    let mut left: BTreeSet<String> = shards.names().map(str::to_owned).collect();
    config.try_for_each_tensor(|name, shape| {
        left.remove(name);
        let (file, stored) = shards.find(name)?;
        check_shape(file.name(), stored, &file.info(stored)?.shape, shape)?;
        file.storage_dtype(stored)?;
        Ok::<_, Error>(())
    })?;
    // A tensor that is not read is a part of the model that is not computed.
    let harmless = |name: &str| name.ends_with("rotary_emb.inv_freq") || (tied && name == HEAD);
    if let Some(name) = left.into_iter().find(|name| !harmless(name)) {
        return Err(bad(source, format!("{name} is no tensor of this architecture")));
    }
    let (file, typical) = shards.find(&format!("{}.weight", config.projections()[0].module(0)))?;
    let dtype = file.storage_dtype(typical)?;
    Ok((config, dtype, shards))
}

/// Is the output matrix of a model whose configuration says so the embedding? As in transformers: not if both are there
/// and differ; and if only the output matrix is there, it is the embedding.
fn is_tied(shards: &mut Shards) -> Result<bool> {
    match (shards.contains(EMBEDDING), shards.contains(HEAD)) {
        (true, true) => {
            let mut stored = |name: &str| -> Result<_> {
                let (file, stored) = shards.find(name)?;
                Ok((file.info(stored)?.dtype, file.bytes(stored)?))
            };
            Ok(stored(EMBEDDING)? == stored(HEAD)?)
        }
        (false, true) => {
            shards.rename(HEAD, EMBEDDING);
            Ok(true)
        }
        _ => Ok(true),
    }
}
