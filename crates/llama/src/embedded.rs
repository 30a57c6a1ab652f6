//! A whole model in one safetensors file: the weights in F32, the configuration as its one metadata key.

use adapter::Real;
use ndarray::ArrayViewD;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::{Config, Error, Llama, Result};

const KEY: &str = "config";

/// The bytes of the file. The same model gives the same bytes: one metadata key, itself with sorted keys, and
/// tensors in the order of their names.
///
/// # Errors
/// Never for a model that was built.
pub fn write<T: Real>(model: &Llama<T>) -> Result<Vec<u8>> {
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = model
        .tensors()
        .into_iter()
        .map(|(name, tensor)| (name, tensor.shape().to_vec(), to_bytes(&tensor)))
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).expect("four bytes a number");
        (name.as_str(), view)
    });
    let config = serde_json::to_value(&model.config).map_err(damaged)?;
    let sorted: std::collections::BTreeMap<_, _> =
        config.as_object().into_iter().flatten().collect();
    let metadata = [(KEY.to_owned(), serde_json::to_string(&sorted).map_err(damaged)?)].into();
    safetensors::serialize(views, Some(metadata)).map_err(damaged)
}

/// The model in the bytes of such a file.
///
/// # Errors
/// It is not such a file, or a tensor is missing or has another shape than the configuration says.
pub fn read<T: Real>(bytes: &[u8]) -> Result<Llama<T>> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let config = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
    let config: Config = serde_json::from_str(config.ok_or_else(|| damaged("no configuration"))?)
        .map_err(damaged)?;
    Llama::build(config, |name, shape| {
        let view = tensors.tensor(name).map_err(damaged)?;
        adapter::check_shape(name.to_owned(), view.shape(), shape, "by the configuration")?;
        if view.dtype() != Dtype::F32 {
            return Err(damaged(format!("{name} is {:?}, not F32", view.dtype())));
        }
        let numbers = view.data().chunks_exact(4);
        let number = |b: &[u8]| f32::from_le_bytes(b.try_into().expect("four bytes"));
        Ok(numbers.map(|bytes| T::from_f64(number(bytes).into())).collect())
    })
}

fn to_bytes<T: Real>(tensor: &ArrayViewD<'_, T>) -> Vec<u8> {
    tensor.iter().flat_map(|value| (value.to_f64() as f32).to_le_bytes()).collect()
}

fn damaged(reason: impl ToString) -> Error {
    Error::File { path: "the embedded model".into(), reason: reason.to_string() }
}
