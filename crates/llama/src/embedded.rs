//! A whole model in one safetensors file: the weights in F32, the configuration as its one metadata key.

use std::collections::BTreeMap;

use adapter::Real;
use tensor_file::{StorageDtype, Stored, TensorFile, to_bytes};

use crate::error::{bad, refused};
use crate::{Config, Llama, Result};

const KEY: &str = "config";
/// What errors call the file.
const NAME: &str = "the embedded model";

/// The bytes of the file. The same model gives the same bytes: one metadata key, itself with sorted keys, and
/// tensors in the order of their names.
///
/// # Errors
/// Never for a model that was built.
pub fn write<T: Real>(model: &Llama<T>) -> Result<Vec<u8>> {
    let tensors = model.tensors().into_iter();
    let tensors = tensors.map(|(name, tensor)| (name, Stored::new(tensor, StorageDtype::F32)));
    let config = serde_json::to_value(&model.config).expect("plain data");
    let sorted: BTreeMap<_, _> = config.as_object().into_iter().flatten().collect();
    let text = serde_json::to_string(&sorted).expect("plain data");
    let fail = |source| tensor_file::Error::Layout { file: NAME.into(), source };
    Ok(to_bytes(tensors, &[(KEY.to_owned(), text)].into()).map_err(fail)?)
}

/// The model in the bytes of such a file.
///
/// # Errors
/// It is not such a file, or a tensor is missing or has another shape than the configuration says.
pub fn read<T: Real>(bytes: &[u8]) -> Result<Llama<T>> {
    let mut file = TensorFile::from_bytes(NAME, bytes)?;
    let config = file.metadata().get(KEY);
    let config = config.ok_or_else(|| bad(NAME.as_ref(), "no configuration"))?;
    let config: Config =
        serde_json::from_str(config).map_err(refused(format!("{NAME}: no configuration")))?;
    Llama::build(config, |name, shape| {
        let found = &file.info(name)?.shape;
        adapter::check_shape(name.to_owned(), found, shape, "by the configuration")?;
        file.check_dtype(name, StorageDtype::F32)?;
        Ok(file.numbers(name)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_model_is_written_as_it_is() {
        let bytes = include_bytes!("../assets/tiny.safetensors");
        assert!(write(&read::<f32>(bytes).unwrap()).unwrap() == bytes, "not byte for byte");
        assert!(write(&read::<f64>(bytes).unwrap()).unwrap() == bytes, "not byte for byte");
    }

    #[test]
    fn a_file_that_is_no_model_is_refused() {
        let says = |metadata: &[(&str, &str)], expected: &str| {
            let metadata = metadata.iter().map(|(key, text)| (key.to_string(), text.to_string()));
            let x = ndarray::Array2::<f64>::zeros((16, 96));
            let tensors = [("model.embed_tokens.weight", Stored::new(x.view(), StorageDtype::F64))];
            let bytes = to_bytes(tensors, &metadata.collect()).unwrap();
            let error = read::<f64>(&bytes).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        says(&[], "the embedded model: no configuration");
        says(&[(KEY, "[]")], "the embedded model: no configuration");
        let config = serde_json::to_string(&crate::tiny::config()).unwrap();
        says(&[(KEY, &config)], "model.embed_tokens.weight is F64: F32 is needed");
    }
}
