//! A model as a Hugging Face folder that transformers loads.

use std::collections::BTreeMap;
use std::path::Path;

use adapter::Real;
use serde_json::{Value, json};
use tensor_file::{Staging, StorageDtype, Stored};

use crate::checkpoint::{BESIDE, CONFIG, Checkpoint, GENERATION, TEMPLATES};
use crate::{Config, Llama, Result};

pub(crate) const WEIGHTS: &str = "model.safetensors";

/// Write a model's `config.json` and `model.safetensors` into `folder`, its numbers as they are.
///
/// # Errors
/// See [`save_checkpoint`].
pub fn save<T: Real>(model: &Llama<T>, folder: &Path) -> Result<()> {
    let mut staging = Staging::new(folder)?;
    stage(model, StorageDtype::of::<T>()?, &BTreeMap::new(), &mut staging)?;
    Ok(staging.commit()?)
}

/// Write a whole Hugging Face folder: configuration, weights in `dtype`, and the tokenizer's files.
///
/// A folder that does not exist appears whole or not at all. In one that exists, each file is replaced in one step,
/// after all have been written; other files stay.
///
/// # Errors
/// A number does not fit `dtype`, or the disk is full or read-only: what was there is as it was.
pub fn save_checkpoint<T: Real>(
    checkpoint: &Checkpoint<T>,
    dtype: StorageDtype,
    folder: &Path,
) -> Result<()> {
    let mut staging = Staging::new(folder)?;
    stage(&checkpoint.model, dtype, &checkpoint.files()?, &mut staging)?;
    Ok(staging.commit()?)
}

/// A Hugging Face folder's files among others of the same folder: the weights in `dtype`, the configuration, and
/// `beside`, which is what [`Checkpoint::files`] gave: the tokenizer's, and `generation_config.json`.
///
/// # Errors
/// As [`save_checkpoint`].
pub fn stage<T: Real>(
    model: &Llama<T>,
    dtype: StorageDtype,
    beside: &BTreeMap<String, Vec<u8>>,
    staging: &mut Staging,
) -> Result<()> {
    for (name, tensor) in model.tensors() {
        check_fits(&name, tensor.iter(), dtype)?;
    }
    // The weights first: a configuration is there only if its weights are.
    let tensors = model.tensors().into_iter();
    let tensors = tensors.map(|(name, tensor)| (name, Stored::new(tensor, dtype)));
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    staging.write_tensors(WEIGHTS, tensors, &metadata)?;
    for (name, contents) in beside {
        staging.write(name, contents)?;
    }
    Ok(staging.write(CONFIG, &config(&model.config, dtype, beside))?)
}

/// Is no number of a tensor too large for `dtype`?
pub(crate) fn check_fits<'a, T: Real>(
    name: &str,
    mut numbers: impl Iterator<Item = &'a T>,
    dtype: StorageDtype,
) -> Result<()> {
    if numbers.all(|value| !value.is_finite() || dtype.round(value.to_f64()).is_finite()) {
        return Ok(());
    }
    let hint = format!("a number is too large for {dtype}: choose another dtype");
    Err(adapter::Error::NotFinite { name: name.to_owned().into(), hint: hint.into() }.into())
}

/// Is this the name of a file that [`stage`] writes, or of a folder of such files?
pub fn is_written(name: &str) -> bool {
    [CONFIG, WEIGHTS, TEMPLATES].contains(&name) || BESIDE.contains(&name)
}

/// Names the type, and the tokens that begin and end a text: transformers assumes 1 and 2 for a Llama that is silent.
pub(crate) fn config(
    config: &Config,
    dtype: StorageDtype,
    files: &BTreeMap<String, Vec<u8>>,
) -> Vec<u8> {
    let mut config = config.to_json();
    let generation = files.get(GENERATION);
    let generation: Value =
        generation.and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default();
    for name in ["bos_token_id", "eos_token_id", "pad_token_id"] {
        config.insert(name.into(), generation.get(name).cloned().unwrap_or_default());
    }
    config.insert("torch_dtype".into(), json!(torch_name(dtype)));
    let mut text = serde_json::to_vec_pretty(&config).expect("plain data");
    text.push(b'\n');
    text
}

/// What `torch_dtype` says in a configuration.
fn torch_name(dtype: StorageDtype) -> &'static str {
    match dtype {
        StorageDtype::F64 => "float64",
        StorageDtype::F32 => "float32",
        StorageDtype::F16 => "float16",
        StorageDtype::Bf16 => "bfloat16",
    }
}
