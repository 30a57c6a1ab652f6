//! What a run needs to go on: the update count, the optimiser's moments, what the method keeps beside its adapter's
//! folder, the settings the run was started with.
//!
//! The data order and the dropout masks are functions of the seed and the step, so the step is their position too.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use adapter::{Optimizer, Real};
use atomic_write_file::AtomicWriteFile;
use ndarray::{ArrayD, ArrayViewD};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result};

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

/// Before the names of what the method keeps; the other tensors are the optimiser's.
const METHOD: &str = "method.";

/// Write the state into `folder`: to a temporary file first, which then takes the old one's place. `method` is what the
/// method keeps that its adapter's folder has no place for; most keep nothing.
///
/// # Errors
/// The disk is full or read-only.
pub fn save<T: Real>(
    folder: &Path,
    state: &State,
    optimizer: &dyn Optimizer<T>,
    method: &Arrays<T>,
) -> Result<()> {
    let path = folder.join(FILE);
    let mut arrays: Vec<(String, ArrayViewD<'_, T>)> =
        method.iter().map(|(name, array)| (format!("{METHOD}{name}"), array.view())).collect();
    arrays.extend(optimizer.state());
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

/// Read the state from `folder` and the optimiser's part of it into `optimizer`; also returns what the method kept.
///
/// # Errors
/// There is none, it is damaged, or it belongs to another optimiser or precision.
pub fn load<T: Real>(
    folder: &Path,
    optimizer: &mut dyn Optimizer<T>,
) -> Result<(State, Arrays<T>)> {
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
    let (mut kept, mut method) = (Arrays::new(), Arrays::new());
    for name in tensors.names() {
        match name.strip_prefix(METHOD) {
            Some(own) => method.insert(own.to_owned(), array(name)?),
            None => kept.insert(name.to_owned(), array(name)?),
        };
    }
    optimizer.restore(state.step as u64, kept).map_err(|error| damaged(&path, error))?;
    Ok((state, method))
}

fn damaged(path: &Path, reason: impl ToString) -> Error {
    Error::File { path: path.to_owned(), reason: reason.to_string() }
}

fn to_bytes<T: Real>(array: &ArrayViewD<'_, T>) -> Vec<u8> {
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
