//! The folder: `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use adapter::Real;
use half::{bf16, f16};
use lora::Lora;
use ndarray::Array2;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{bad, io};
use crate::{LoraConfig, Result};

const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter_model.safetensors";
const PREFIX: &str = "base_model.model.";

/// A LoRA adapter: its configuration, and A, B and the scale of each module.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraFolder<T> {
    /// `adapter_config.json`.
    pub config: LoraConfig,
    /// By the module's name, `model.layers.0.self_attn.q_proj` for example.
    pub modules: BTreeMap<String, Lora<T>>,
}

/// Read a folder that PEFT, or [`write()`], wrote.
///
/// # Errors
/// A file is missing or damaged, a tensor has no partner or another shape than the configuration says, a number is
/// not finite, or the adapter needs something these crates do not compute, which is named.
pub fn read<T: Real>(folder: &Path) -> Result<LoraFolder<T>> {
    let path = folder.join(CONFIG);
    let text = std::fs::read_to_string(&path).map_err(io(&path))?;
    let config = LoraConfig::parse(&text).map_err(|reason| bad(&path, reason))?;

    let path = folder.join(TENSORS);
    if !path.exists() && folder.join("adapter_model.bin").exists() {
        let reason = "only adapter_model.bin is there, a pickle, which can run code when it is read: \
                      load it with PEFT and save it again as safetensors";
        return Err(bad(folder, reason));
    }
    let bytes = std::fs::read(&path).map_err(io(&path))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| bad(&path, error))?;
    let mut matrices: BTreeMap<String, [Option<Array2<T>>; 2]> = BTreeMap::new();
    for (key, view) in tensors.iter() {
        let (module, which) = parse_key(key).ok_or_else(|| {
            let reason = format!("{key} is no A or B of a linear layer: not supported");
            bad(&path, reason)
        })?;
        let matrix = matrix(key, &view).map_err(|reason| bad(&path, reason))?;
        let slot = &mut matrices.entry(module.to_owned()).or_default()[which];
        if slot.replace(matrix).is_some() {
            return Err(bad(&path, format!("{module} has two {}", ["lora_A", "lora_B"][which])));
        }
    }
    let mut modules = BTreeMap::new();
    for (module, [a, b]) in matrices {
        let (Some(a), Some(b)) = (a, b) else {
            return Err(bad(&path, format!("{module} has only one of lora_A and lora_B")));
        };
        let resolved = config.resolve(&module).map_err(|reason| bad(&path, reason))?;
        if a.nrows() != resolved.rank || b.ncols() != resolved.rank {
            let reason = format!(
                "{module}: lora_A is {:?} and lora_B {:?}, but the configuration says rank {}",
                a.shape(),
                b.shape(),
                resolved.rank
            );
            return Err(bad(&path, reason));
        }
        let lora = Lora::new(a, b, T::from_f64(resolved.scale));
        modules.insert(module, lora.map_err(|error| bad(&path, error))?);
    }
    Ok(LoraFolder { config, modules })
}

/// Write a folder that PEFT 0.21 loads. Tensors are F32, or F64 when `T` is, so nothing is rounded.
///
/// Each file is written under a temporary name first and then takes the place of the old one, the configuration last:
/// if the disk is full, what was there is still there. Other files in the folder stay.
///
/// # Errors
/// An adapter's rank or scale is not what the configuration resolves to, or the disk is full or read-only.
pub fn write<T: Real>(folder: &Path, adapter: &LoraFolder<T>) -> Result<()> {
    let path = folder.join(TENSORS);
    adapter.config.check().map_err(|reason| bad(folder, reason))?;
    let dtype = if T::NAME == "F32" { Dtype::F32 } else { Dtype::F64 };
    let mut tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for (module, lora) in &adapter.modules {
        let resolved = adapter.config.resolve(module).map_err(|reason| bad(folder, reason))?;
        if lora.a.nrows() != resolved.rank || lora.scale != T::from_f64(resolved.scale) {
            let reason = format!(
                "{module} has rank {} and scale {}, but the configuration says {} and {}",
                lora.a.nrows(),
                lora.scale,
                resolved.rank,
                resolved.scale
            );
            return Err(bad(folder, reason));
        }
        for (name, matrix) in [("lora_A", &lora.a), ("lora_B", &lora.b)] {
            let key = format!("{PREFIX}{module}.{name}.weight");
            tensors.insert(key, (matrix.shape().to_vec(), to_bytes(matrix)));
        }
    }
    let views = tensors.iter().map(|(key, (shape, bytes))| {
        let view = TensorView::new(dtype, shape.clone(), bytes).expect("as many bytes as numbers");
        (key.as_str(), view)
    });
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|error| bad(&path, error))?;

    std::fs::create_dir_all(folder).map_err(io(folder))?;
    replace(&path, &bytes)?;
    replace(&folder.join(CONFIG), adapter.config.to_json().as_bytes())
}

fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().expect("a file in a folder");
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io(path))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(io(path))?;
    file.persist(path).map_err(|error| io(path)(error.error))?;
    Ok(())
}

/// `base_model.model.<module>.lora_A.weight` → the module, and 0 for A or 1 for B.
fn parse_key(key: &str) -> Option<(&str, usize)> {
    let key = key.strip_prefix(PREFIX)?.strip_suffix(".weight")?;
    // peft-rs leaves the adapter's name in.
    let key = key.strip_suffix(".default").unwrap_or(key);
    let (module, name) = key.rsplit_once('.')?;
    let which = ["lora_A", "lora_B"].iter().position(|known| *known == name)?;
    Some((module, which))
}

fn matrix<T: Real>(key: &str, view: &TensorView<'_>) -> Result<Array2<T>, String> {
    let &[rows, columns] = view.shape() else {
        return Err(format!("{key} has shape {:?}: only matrices are supported", view.shape()));
    };
    let data = view.data();
    let numbers: Vec<f64> = match view.dtype() {
        Dtype::F64 => each(data, f64::from_le_bytes),
        Dtype::F32 => each(data, |b| f32::from_le_bytes(b).into()),
        Dtype::F16 => each(data, |b| f16::from_le_bytes(b).into()),
        Dtype::BF16 => each(data, |b| bf16::from_le_bytes(b).into()),
        other => return Err(format!("{key} is {other:?}: F64, F32, F16 and BF16 are supported")),
    };
    if !numbers.iter().all(|number| T::from_f64(*number).is_finite()) {
        return Err(format!("{key} holds NaN or infinity, or a number too large for {}", T::NAME));
    }
    let numbers = numbers.into_iter().map(T::from_f64).collect();
    Array2::from_shape_vec((rows, columns), numbers).map_err(|error| format!("{key}: {error}"))
}

fn each<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    data.chunks_exact(N).map(|bytes| number(bytes.try_into().expect("N bytes"))).collect()
}

fn to_bytes<T: Real>(matrix: &Array2<T>) -> Vec<u8> {
    let numbers = matrix.iter().map(|number| number.to_f64());
    match T::NAME {
        "F32" => numbers.flat_map(|number| (number as f32).to_le_bytes()).collect(),
        _ => numbers.flat_map(f64::to_le_bytes).collect(),
    }
}
