//! A Hugging Face folder: `config.json` and `model.safetensors`, or shards with their index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use adapter::Real;
use tensor_file::{StorageDtype, TensorFile};

use super::check_shape;
use crate::checkpoint::{CONFIG, read_text};
use crate::error::{bad, refused};
use crate::{Config, Llama, Projection, Result};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The model in a folder, and how its weights are stored.
pub(super) fn load<T: Real>(folder: &Path) -> Result<(Llama<T>, StorageDtype)> {
    let path = folder.join(CONFIG);
    if !path.is_file() {
        return Err(bad(
            folder,
            format!("no {CONFIG} in it: a Hugging Face folder or a .gguf file is needed"),
        ));
    }
    let config = Config::from_json(&read_text(&path)?).map_err(|error| error.in_file(&path))?;
    let tied = config.tie_word_embeddings;
    let mut shards = Shards::open(folder)?;
    let mut left: BTreeSet<String> = shards.of.keys().cloned().collect();
    let model = Llama::build(config, |name, shape| {
        left.remove(name);
        let file = shards.find(name)?;
        check_shape(file.name(), name, &file.info(name)?.shape, shape)?;
        Ok(file.numbers(name)?)
    })?;
    // A tensor that is not read is a part of the model that is not computed.
    let harmless =
        |name: &str| name.ends_with("rotary_emb.inv_freq") || (tied && name == "lm_head.weight");
    if let Some(name) = left.into_iter().find(|name| !harmless(name)) {
        return Err(bad(folder, format!("{name} is no tensor of this architecture")));
    }
    let typical = format!("{}.weight", Projection::Q.module(0));
    let dtype = shards.find(&typical)?.storage_dtype(&typical)?;
    Ok((model, dtype))
}

/// The weight files, and which of them holds which tensor.
struct Shards {
    folder: PathBuf,
    files: Vec<TensorFile>,
    of: BTreeMap<String, usize>,
}

impl Shards {
    fn open(folder: &Path) -> Result<Self> {
        let single = folder.join(SINGLE);
        if single.exists() {
            let file = TensorFile::open(&single)?;
            let of = file.names().into_iter().map(|name| (name, 0)).collect();
            return Ok(Self { folder: folder.to_owned(), files: vec![file], of });
        }
        let path = folder.join(INDEX);
        if !path.exists() {
            return Err(bad(folder, format!("neither {SINGLE} nor {INDEX} is in it")));
        }
        #[derive(serde::Deserialize)]
        struct Index {
            weight_map: BTreeMap<String, String>,
        }
        let what = format!("{}: not an index of shards", path.display());
        let index: Index = serde_json::from_str(&read_text(&path)?).map_err(refused(what))?;
        let names: BTreeSet<&String> = index.weight_map.values().collect();
        let mut files = Vec::new();
        let mut numbers = BTreeMap::new();
        for name in names {
            if !is_plain_file_name(name) {
                return Err(bad(
                    &path,
                    format!(
                        "the shard {name:?} is not a file of this folder: only plain names are followed"
                    ),
                ));
            }
            numbers.insert(name.clone(), files.len());
            files.push(TensorFile::open(&folder.join(name))?);
        }
        let mut of = BTreeMap::new();
        for (tensor, file) in &index.weight_map {
            let number = numbers[file];
            if !files[number].contains(tensor) {
                return Err(bad(&path, format!("{tensor} is said to be in {file} and is not")));
            }
            of.insert(tensor.clone(), number);
        }
        Ok(Self { folder: folder.to_owned(), files, of })
    }

    fn find(&mut self, tensor: &str) -> Result<&mut TensorFile> {
        let number = self.of.get(tensor);
        let number =
            number.ok_or_else(|| bad(&self.folder, format!("the tensor {tensor} is missing")))?;
        Ok(&mut self.files[*number])
    }
}

fn is_plain_file_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    // Also on systems where a backslash is no separator: the index may have been made for another.
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
        && !name.contains(['/', '\\'])
}
