//! Named tensors in a safetensors file, bytes as they are: the digest is over bytes, and a checker must be able to
//! say what is wrong with a tensor it does not understand.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use half::{bf16, f16};
use ndarray::{Array2, ArrayD};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, Metadata, TensorView};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::error::{Result, at, io, wrong};

/// The limit of the safetensors specification.
const MAX_HEADER: u64 = 100_000_000;

/// A tensor as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its elements, little-endian, row by row.
    pub data: Vec<u8>,
}

/// The tensors of a file, and its metadata.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TensorFile {
    /// safetensors' `__metadata__`.
    pub metadata: BTreeMap<String, String>,
    /// By name.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Tensor {
    /// F64, nothing is rounded.
    pub fn f64(array: &ArrayD<f64>) -> Self {
        let data = array.iter().flat_map(|number| number.to_le_bytes()).collect();
        Self { dtype: Dtype::F64, shape: array.shape().to_vec(), data }
    }

    /// F32, each number rounded to the nearest.
    pub fn f32(array: &ArrayD<f64>) -> Self {
        Self::rounded(array, Dtype::F32)
    }

    /// Rounded to the nearest number of a format: F16, BF16, F32, and F64 otherwise.
    pub(crate) fn rounded(array: &ArrayD<f64>, dtype: Dtype) -> Self {
        let bytes = |number: &f64| match dtype {
            Dtype::F16 => f16::from_f64(*number).to_le_bytes().to_vec(),
            Dtype::BF16 => bf16::from_f64(*number).to_le_bytes().to_vec(),
            Dtype::F32 => (*number as f32).to_le_bytes().to_vec(),
            _ => number.to_le_bytes().to_vec(),
        };
        let dtype = match dtype {
            Dtype::F16 | Dtype::BF16 | Dtype::F32 => dtype,
            _ => Dtype::F64,
        };
        let data = array.iter().flat_map(bytes).collect();
        Self { dtype, shape: array.shape().to_vec(), data }
    }

    /// F32, rounded up: for a gauge, which must not become smaller.
    pub fn f32_up(array: &ArrayD<f64>) -> Self {
        let up = |number: f64| {
            let nearest = number as f32;
            if f64::from(nearest) < number { nearest.next_up() } else { nearest }
        };
        let data = array.iter().flat_map(|&number| up(number).to_le_bytes()).collect();
        Self { dtype: Dtype::F32, shape: array.shape().to_vec(), data }
    }

    /// The numbers as `f64`, which holds F16, BF16, F32 and F64 exactly.
    ///
    /// # Errors
    /// The elements are not one of these four, or the shape cannot be indexed.
    pub fn to_f64(&self) -> Result<ArrayD<f64>> {
        let numbers: Vec<f64> = match self.dtype {
            Dtype::F64 => each(&self.data, f64::from_le_bytes),
            Dtype::F32 => each(&self.data, |b| f32::from_le_bytes(b).into()),
            Dtype::F16 => each(&self.data, |b| f16::from_le_bytes(b).into()),
            Dtype::BF16 => each(&self.data, |b| bf16::from_le_bytes(b).into()),
            other => {
                return Err(wrong(format!("has type {other}: F16, BF16, F32 and F64 are read")));
            }
        };
        let shape = &self.shape;
        ArrayD::from_shape_vec(shape.clone(), numbers)
            .map_err(|error| wrong(format!("has shape {shape:?}: {error}")))
    }

    /// A dropout mask.
    pub(crate) fn to_mask(&self) -> Result<Array2<u8>> {
        let shape = &self.shape;
        let (Dtype::U8, &[rows, columns]) = (self.dtype, shape.as_slice()) else {
            let dtype = self.dtype;
            return Err(wrong(format!("is {dtype} {shape:?}: a mask is U8 [tokens, in]")));
        };
        Array2::from_shape_vec((rows, columns), self.data.clone())
            .map_err(|error| wrong(format!("has shape {shape:?}: {error}")))
    }
}

fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.as_chunks().0.iter().map(|chunk| number(*chunk)).collect()
}

impl TensorFile {
    /// Read a file. The header is checked against the file's size before anything of that size is allocated.
    ///
    /// # Errors
    /// The file cannot be read, is no regular file or not a safetensors file; a name occurs twice.
    pub fn read(path: &Path) -> Result<Self> {
        // Before it is opened: a pipe would be waited for, and has no size to check against.
        if !fs::metadata(path).map_err(io(path))?.is_file() {
            return Err(at(path)(wrong("no regular file: write it to one, and name that")));
        }
        let mut file = File::open(path).map_err(io(path))?;
        let size = file.metadata().map_err(io(path))?.len();
        let mut bytes = Vec::new();
        (&mut file).take(8).read_to_end(&mut bytes).map_err(io(path))?;
        check_length(&bytes, size).map_err(at(path))?;
        let header = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes"));
        (&mut file).take(header).read_to_end(&mut bytes).map_err(io(path))?;
        check_names(&bytes[8..]).map_err(at(path))?;
        // Checks that the tensors lie end to end, each as long as its shape and type say, without overflow.
        let metadata: Metadata = serde_json::from_slice(&bytes[8..])
            .map_err(|error| at(path)(wrong(format!("a wrong safetensors header: {error}"))))?;
        let (promised, there) = (metadata.data_len() as u64, size.saturating_sub(8 + header));
        if promised != there {
            let reason = format!(
                "the header describes {promised} bytes of tensors and the file has {there}"
            );
            return Err(at(path)(wrong(reason)));
        }
        file.read_to_end(&mut bytes).map_err(io(path))?;
        Self::parse(&bytes).map_err(at(path))
    }

    /// A file whose bytes are in memory.
    ///
    /// # Errors
    /// The bytes are not a safetensors file, or a name occurs twice.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        check_length(bytes, bytes.len() as u64)?;
        let header = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
        check_names(&bytes[8..8 + header])?;
        let (_, metadata) = SafeTensors::read_metadata(bytes)
            .map_err(|error| wrong(format!("a wrong safetensors header: {error}")))?;
        let file = SafeTensors::deserialize(bytes)
            .map_err(|error| wrong(format!("a wrong safetensors file: {error}")))?;
        let tensor = |view: TensorView<'_>| Tensor {
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            data: view.data().to_vec(),
        };
        Ok(Self {
            metadata: metadata.metadata().clone().unwrap_or_default().into_iter().collect(),
            tensors: file.tensors().into_iter().map(|(name, view)| (name, tensor(view))).collect(),
        })
    }

    /// The bytes of the file. With one metadata key they are the same every time.
    ///
    /// # Errors
    /// A tensor's bytes do not fit its shape and type.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let view = |(name, tensor): (&String, &Tensor)| -> Result<(String, Vec<u8>, _)> {
            let made = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.data);
            made.map_err(|error| wrong(format!("{name}: {error}")))?;
            Ok((name.clone(), tensor.data.clone(), (tensor.dtype, tensor.shape.clone())))
        };
        let data: Vec<_> = self.tensors.iter().map(view).collect::<Result<_>>()?;
        let views = data.iter().map(|(name, bytes, (dtype, shape))| {
            let view = TensorView::new(*dtype, shape.clone(), bytes).expect("made above");
            (name.as_str(), view)
        });
        let metadata: HashMap<_, _> = self.metadata.clone().into_iter().collect();
        // safetensors 0.7 writes broken JSON for an empty map and no tensor.
        let metadata = (!metadata.is_empty()).then_some(metadata);
        safetensors::serialize(views, metadata).map_err(wrong)
    }
}

fn check_length(bytes: &[u8], size: u64) -> Result<()> {
    let Some(length) = bytes.first_chunk() else {
        return Err(wrong(format!("{size} bytes are no safetensors file: it is cut off")));
    };
    let header = u64::from_le_bytes(*length);
    if header > MAX_HEADER {
        return Err(wrong(format!(
            "the header claims {header} bytes, above the limit of {MAX_HEADER}: not a safetensors file?"
        )));
    }
    if header > size.saturating_sub(8) {
        return Err(wrong(format!(
            "the header claims {header} bytes and the file has {size}: it is cut off"
        )));
    }
    Ok(())
}

/// The library keeps the last of two tensors with the same name; here they are an error.
fn check_names(header: &[u8]) -> Result<()> {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of tensors by name")
        }
        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
            let mut seen = BTreeSet::new();
            while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
                if name.contains('\0') {
                    return Err(serde::de::Error::custom("a name holds a zero byte"));
                }
                if let Some(twice) = seen.replace(name) {
                    return Err(serde::de::Error::custom(format!("{twice} is there twice")));
                }
            }
            Ok(())
        }
    }
    let mut json = serde_json::Deserializer::from_slice(header);
    json.deserialize_map(Names)
        .map_err(|error| wrong(format!("a wrong safetensors header: {error}")))
}
