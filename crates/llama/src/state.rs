//! What a run needs to go on: the update count, the optimiser's moments, what the method keeps beside its adapter's
//! folder, the settings the run was started with.
//!
//! The data order and the dropout masks are functions of the seed and the step, so the step is their position too.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use adapter::{Moments, Real};
use atomic_write_file::AtomicWriteFile;
use ndarray::ArrayD;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AnyOptimizer, Error, Result};

/// The file's name, beside the adapter or the model.
pub const FILE: &str = "training_state.safetensors";

/// What the file says beside the moments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Updates made.
    pub step: usize,
    /// The settings of the run, by the names of the command line.
    pub settings: BTreeMap<String, Value>,
}

/// Tensors by name.
pub type Arrays<T> = BTreeMap<String, ArrayD<T>>;

const MOMENTS: [&str; 2] = ["exp_avg", "exp_avg_sq"];
const METHOD: &str = "method.";

/// Write the state into `folder`: to a temporary file first, which then takes the old one's place. `method` is what the
/// method keeps that its adapter's folder has no place for; most keep nothing.
///
/// # Errors
/// The disk is full or read-only.
pub fn save<T: Real>(
    folder: &Path,
    state: &State,
    optimizer: &AnyOptimizer<T>,
    method: &Arrays<T>,
) -> Result<()> {
    let path = folder.join(FILE);
    let mut arrays: Vec<(String, &ArrayD<T>)> =
        method.iter().map(|(name, array)| (format!("{METHOD}{name}"), array)).collect();
    if let AnyOptimizer::AdamW(adamw) = optimizer {
        for (name, moments) in &adamw.moments {
            arrays.push((format!("exp_avg.{name}"), &moments.exp_avg));
            arrays.push((format!("exp_avg_sq.{name}"), &moments.exp_avg_sq));
        }
    }
    let dtype = if T::NAME == "F32" { Dtype::F32 } else { Dtype::F64 };
    let bytes: Vec<Vec<u8>> = arrays.iter().map(|(_, array)| to_bytes(array)).collect();
    let views = arrays.iter().zip(&bytes).map(|((name, array), bytes)| {
        let view = TensorView::new(dtype, array.shape().to_vec(), bytes)
            .expect("as many bytes as numbers");
        (name.as_str(), view)
    });
    let text = serde_json::to_string(state).expect("plain data");
    let metadata = [("state".to_owned(), text)].into();
    let file =
        safetensors::serialize(views, Some(metadata)).map_err(|error| damaged(&path, error))?;
    let write = || {
        let mut temporary = AtomicWriteFile::open(&path)?;
        temporary.write_all(&file)?;
        temporary.commit()
    };
    write().map_err(|source| Error::Io { path: path.clone(), source })
}

/// Read the state from `folder` and the moments into `optimizer`; also returns what the method kept.
///
/// # Errors
/// There is none, it is damaged, or it belongs to another optimiser or precision.
pub fn load<T: Real>(folder: &Path, optimizer: &mut AnyOptimizer<T>) -> Result<(State, Arrays<T>)> {
    let path = folder.join(FILE);
    let bytes = std::fs::read(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(&path, error))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| damaged(&path, error))?;
    let text = header.metadata().as_ref().and_then(|metadata| metadata.get("state"));
    let state: State = text
        .ok_or_else(|| damaged(&path, "it has no `state`"))
        .and_then(|text| serde_json::from_str(text).map_err(|error| damaged(&path, error)))?;
    let array = |name: &str| -> Result<ArrayD<T>> {
        let view = tensors.tensor(name).map_err(|error| damaged(&path, error))?;
        let other = || {
            let (found, dtype) = (view.dtype(), T::NAME);
            damaged(&path, format!("{name} is {found:?} where this run computes in {dtype}"))
        };
        from_bytes(&view).ok_or_else(other)
    };
    let (mut moments, mut method) = (BTreeMap::new(), Arrays::new());
    for name in tensors.names() {
        if let Some(own) = name.strip_prefix(METHOD) {
            method.insert(own.to_owned(), array(name)?);
        } else if let Some(parameter) = name.strip_prefix("exp_avg.") {
            let [exp_avg, exp_avg_sq] =
                MOMENTS.map(|moment| array(&format!("{moment}.{parameter}")));
            let steps = state.step as u64;
            let both = Moments { steps, exp_avg: exp_avg?, exp_avg_sq: exp_avg_sq? };
            moments.insert(parameter.to_owned(), both);
        }
    }
    match optimizer {
        AnyOptimizer::AdamW(adamw) => adamw.moments = moments,
        AnyOptimizer::Sgd(_) if moments.is_empty() => {}
        AnyOptimizer::Sgd(_) => {
            return Err(damaged(&path, "it holds AdamW's moments, and this run uses SGD"));
        }
    }
    Ok((state, method))
}

fn damaged(path: &Path, reason: impl ToString) -> Error {
    Error::File { path: path.to_owned(), reason: reason.to_string() }
}

fn to_bytes<T: Real>(array: &ArrayD<T>) -> Vec<u8> {
    let values = array.iter().map(|value| value.to_f64());
    match T::NAME {
        "F32" => values.flat_map(|value| (value as f32).to_le_bytes()).collect(),
        _ => values.flat_map(f64::to_le_bytes).collect(),
    }
}

fn from_bytes<T: Real>(view: &TensorView<'_>) -> Option<ArrayD<T>> {
    let values = match (T::NAME, view.dtype()) {
        ("F32", Dtype::F32) => {
            let chunks = view.data().chunks_exact(4);
            chunks.map(|b| f32::from_le_bytes(b.try_into().expect("four")).into()).collect()
        }
        ("F64", Dtype::F64) => {
            let chunks = view.data().chunks_exact(8);
            chunks.map(|b| f64::from_le_bytes(b.try_into().expect("eight"))).collect::<Vec<_>>()
        }
        _ => return None,
    };
    ArrayD::from_shape_vec(view.shape(), values.into_iter().map(T::from_f64).collect()).ok()
}
