//! A Hugging Face folder: `config.json` and `model.safetensors`, or shards with their index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use adapter::Real;
use serde_json::{Map, Value};

use super::dequantise::Format;
use super::safetensors::Tensors;
use super::{bad, io};
use crate::{Config, Error, Llama, Projection, Result};

const CONFIG: &str = "config.json";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The model in a folder, and how its weights are stored.
pub(super) fn load<T: Real>(folder: &Path) -> Result<(Llama<T>, Format)> {
    let path = folder.join(CONFIG);
    if !path.is_file() {
        return Err(bad(
            folder,
            format!("no {CONFIG} in it: a Hugging Face folder or a .gguf file is needed"),
        ));
    }
    let config = Config::from_json(&read_text(&path)?).map_err(|error| match error {
        Error::Config(reason) => bad(&path, reason),
        other => other,
    })?;
    let tied = config.tie_word_embeddings;
    let mut shards = Shards::open(folder)?;
    let mut left: BTreeSet<String> = shards.of.keys().cloned().collect();
    let model = Llama::build(config, |name, shape| {
        left.remove(name);
        shards.find(name)?.read(name, shape)
    })?;
    // A tensor that is not read is a part of the model that is not computed.
    let harmless =
        |name: &str| name.ends_with("rotary_emb.inv_freq") || (tied && name == "lm_head.weight");
    if let Some(name) = left.into_iter().find(|name| !harmless(name)) {
        return Err(bad(folder, format!("{name} is no tensor of this architecture")));
    }
    let typical = format!("{}.weight", Projection::Q.module(0));
    let format = shards.find(&typical)?.format(&typical)?;
    Ok((model, format))
}

/// The files of a folder that go with its weights.
pub(super) fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    const NAMES: [&str; 9] = [
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
    let mut files = BTreeMap::new();
    for name in NAMES {
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

const GENERATION: &str = "generation_config.json";

fn read_text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(io(path))?;
    String::from_utf8(bytes).map_err(|error| bad(path, format!("not UTF-8 text: {error}")))
}

/// The weight files, and which of them holds which tensor.
struct Shards {
    folder: PathBuf,
    files: Vec<Tensors>,
    of: BTreeMap<String, usize>,
}

impl Shards {
    fn open(folder: &Path) -> Result<Self> {
        let single = folder.join(SINGLE);
        if single.exists() {
            let file = Tensors::open(&single)?;
            let of = file.names().map(|name| (name, 0)).collect();
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
        let index: Index = serde_json::from_str(&read_text(&path)?)
            .map_err(|error| bad(&path, format!("not an index of shards: {error}")))?;
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
            files.push(Tensors::open(&folder.join(name))?);
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

    fn find(&mut self, tensor: &str) -> Result<&mut Tensors> {
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
