//! Tensors in a safetensors file: the header first, then each one when it is asked for.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use adapter::Real;
use half::{bf16, f16};
use ndarray::{Array, ArrayD, ArrayView, ArrayViewD, Dimension};
use safetensors::tensor::{Dtype, Metadata, TensorView};

use crate::Result;
use crate::error::{at, io, wrong};

/// An open file and its checked header.
pub(crate) struct TensorFile {
    path: PathBuf,
    file: File,
    /// Where the numbers begin.
    start: u64,
    header: Metadata,
}

impl TensorFile {
    /// Nothing is allocated that the file's size does not allow.
    pub fn open(path: &Path) -> Result<Self> {
        let fail = |reason: String| at(path)(wrong(reason));
        let mut file = File::open(path).map_err(io(path))?;
        let size = file.metadata().map_err(io(path))?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(io(path))?;
        let length = u64::from_le_bytes(length);
        if length > size.saturating_sub(8) {
            return Err(fail(format!(
                "the header claims {length} bytes and the file has {size}: cut off, or not safetensors"
            )));
        }
        let mut json = vec![0; length as usize];
        file.read_exact(&mut json).map_err(io(path))?;
        // This also checks that the tensors lie end to end, each as long as its shape and type say.
        let header: Metadata = serde_json::from_slice(&json)
            .map_err(|error| fail(format!("a wrong safetensors header: {error}")))?;
        let (start, promised) = (8 + length, header.data_len() as u64);
        let data = size.saturating_sub(start);
        if data != promised {
            return Err(fail(format!(
                "the header describes {promised} bytes of tensors and the file has {data}"
            )));
        }
        Ok(Self { path: path.to_owned(), file, start, header })
    }

    /// The names of the tensors, in the order of the file.
    pub fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    /// A vector or a matrix, rounded to `T`.
    pub fn array<T: Real, D: Dimension>(&mut self, name: &str) -> Result<Array<T, D>> {
        let Self { path, file, start, header } = self;
        let fail = |reason: String| at(path)(wrong(format!("{name} {reason}")));
        let info = header.info(name).ok_or_else(|| fail("is missing".into()))?;
        let misshapen = |hint: &str| fail(format!("has shape {:?}: {hint}", info.shape));
        if D::NDIM != Some(info.shape.len()) {
            return Err(misshapen(match D::NDIM {
                Some(1) => "a vector is needed",
                _ => "only matrices of linear layers are supported",
            }));
        }
        let (from, to) = info.data_offsets;
        let mut bytes = vec![0; to - from];
        file.seek(SeekFrom::Start(*start + from as u64)).map_err(io(path))?;
        file.read_exact(&mut bytes).map_err(io(path))?;
        let numbers: Vec<f64> = match info.dtype {
            Dtype::F64 => each(&bytes, f64::from_le_bytes),
            Dtype::F32 => each(&bytes, |b| f32::from_le_bytes(b).into()),
            Dtype::F16 => each(&bytes, |b| f16::from_le_bytes(b).into()),
            Dtype::BF16 => each(&bytes, |b| bf16::from_le_bytes(b).into()),
            other => return Err(fail(format!("is {other}: F64, F32, F16 and BF16 are supported"))),
        };
        let numbers = ArrayD::from_shape_vec(info.shape.clone(), numbers)
            .and_then(ArrayD::into_dimensionality)
            .map_err(|error| misshapen(&error.to_string()))?;
        check_finite(name, numbers.view()).map_err(at(path))?;
        let rounded = numbers.mapv(T::from_f64);
        if !rounded.iter().all(|number| number.is_finite()) {
            return Err(fail(format!("holds a number too large for {}", T::NAME)));
        }
        Ok(rounded)
    }
}

fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.as_chunks().0.iter().map(|chunk| number(*chunk)).collect()
}

pub(crate) fn check_finite<T: Real, D: Dimension>(
    name: &str,
    numbers: ArrayView<'_, T, D>,
) -> Result<()> {
    match numbers.into_dyn().indexed_iter().find(|(_, number)| !number.is_finite()) {
        Some((at, number)) => Err(wrong(format!("{name} holds {number} at {:?}", at.slice()))),
        None => Ok(()),
    }
}

/// The bytes of a safetensors file with these tensors: F32, or F64 when `T` is, so nothing is rounded.
pub(crate) fn serialize<T: Real>(tensors: &BTreeMap<String, ArrayViewD<'_, T>>) -> Result<Vec<u8>> {
    let to_bytes = |tensor: &ArrayViewD<'_, T>| -> Result<(Dtype, Vec<u8>)> {
        let numbers = tensor.iter().map(|number| number.to_f64());
        match T::NAME {
            "F64" => Ok((Dtype::F64, numbers.flat_map(f64::to_le_bytes).collect())),
            "F32" => Ok((Dtype::F32, numbers.flat_map(|x| (x as f32).to_le_bytes()).collect())),
            other => Err(wrong(format!("numbers of type {other} have no place in safetensors"))),
        }
    };
    let mut data = Vec::new();
    for (name, tensor) in tensors {
        let (dtype, bytes) = to_bytes(tensor)?;
        data.push((name.as_str(), dtype, tensor.shape().to_vec(), bytes));
    }
    let views = data.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes).expect("as many bytes as numbers");
        (*name, view)
    });
    // PEFT writes this; transformers refuses a file without it.
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    safetensors::serialize(views, Some(metadata)).map_err(wrong)
}
