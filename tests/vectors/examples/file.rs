//! A safetensors file as [`runner`](runner.rs) needs it.
use std::{collections::BTreeMap, error::Error, fs, path::Path};

use half::{bf16, f16};
use ndarray::{Array, ArrayD};
use safetensors::{Dtype, SafeTensors};

/// By name each tensor with its type, and whether the metadata has an `error`.
pub type File = (BTreeMap<String, (String, ArrayD<f64>)>, bool);

pub fn read(path: &Path) -> Result<File, Box<dyn Error>> {
    let (raw, mut tensors) = (fs::read(path)?, BTreeMap::new());
    for (name, view) in SafeTensors::deserialize(&raw)?.tensors() {
        let numbers = match view.dtype() {
            Dtype::F64 => view.data().as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect(),
            Dtype::F32 => view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes).into()).collect(),
            Dtype::F16 => view.data().as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes).into()).collect(),
            Dtype::BF16 => view.data().as_chunks().0.iter().map(|&bytes| bf16::from_le_bytes(bytes).into()).collect(),
            _ => continue, // as good as missing
        };
        tensors.insert(name, (view.dtype().to_string(), Array::from_shape_vec(view.shape(), numbers)?));
    }
    let (_, header) = SafeTensors::read_metadata(&raw)?;
    Ok((tensors, header.metadata().as_ref().is_some_and(|metadata| metadata.contains_key("error"))))
}
