//! One safetensors file: the header first, then each tensor when it is asked for.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use adapter::Real;
use safetensors::tensor::{Dtype, Metadata};

use super::dequantise::Format;
use super::{bad, io};
use crate::Result;

/// The limit of the safetensors specification.
const MAX_HEADER: u64 = 100_000_000;

/// An open file and its checked header.
pub(super) struct Tensors {
    path: PathBuf,
    file: File,
    /// Where the tensors' bytes begin.
    start: u64,
    header: Metadata,
}

impl Tensors {
    /// Read the header. Nothing is allocated that the file's size does not allow.
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(io(path))?;
        let size = file.metadata().map_err(io(path))?.len();
        let mut length = [0; 8];
        if size < 8 {
            return Err(bad(path, format!("{size} bytes are no safetensors file: it is cut off")));
        }
        file.read_exact(&mut length).map_err(io(path))?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER {
            return Err(bad(
                path,
                format!(
                    "the header claims {length} bytes, above the limit of {MAX_HEADER}: not a safetensors file?"
                ),
            ));
        }
        if length > size - 8 {
            return Err(bad(
                path,
                format!("the header claims {length} bytes and the file has {size}: it is cut off"),
            ));
        }
        let mut json = vec![0; length as usize];
        file.read_exact(&mut json).map_err(io(path))?;
        // Deserialising also checks that the tensors follow each other without overlaps or gaps, each as long as its
        // shape and type say.
        let header: Metadata = serde_json::from_slice(&json)
            .map_err(|error| bad(path, format!("a wrong safetensors header: {error}")))?;
        let start = 8 + length;
        let (want, got) = (header.data_len() as u64, size - start);
        if want != got {
            let hint = if got < want { ": it is cut off" } else { "" };
            return Err(bad(
                path,
                format!(
                    "the header describes {want} bytes of tensors and the file has {got}{hint}"
                ),
            ));
        }
        Ok(Self { path: path.to_owned(), file, start, header })
    }

    /// The names of the tensors.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.header.offset_keys().into_iter()
    }

    pub fn contains(&self, name: &str) -> bool {
        self.header.info(name).is_some()
    }

    /// How a tensor is stored.
    pub fn format(&self, name: &str) -> Result<Format> {
        let fail = |reason| bad(&self.path, reason);
        let info = self.header.info(name).ok_or_else(|| fail(format!("{name} is missing")))?;
        match info.dtype {
            Dtype::F64 => Ok(Format::F64),
            Dtype::F32 => Ok(Format::F32),
            Dtype::F16 => Ok(Format::F16),
            Dtype::BF16 => Ok(Format::Bf16),
            other => Err(fail(format!(
                "{name} has the type {other}: only F64, F32, F16 and BF16 are read"
            ))),
        }
    }

    /// One tensor, which must have the shape that the configuration asks for.
    pub fn read<T: Real>(&mut self, name: &str, shape: &[usize]) -> Result<Vec<T>> {
        let format = self.format(name)?;
        let info = self.header.info(name).expect("it has a format");
        super::check_shape(&self.path, name, &info.shape, shape)?;
        let (from, _) = info.data_offsets;
        let read = |file: &mut File| -> io::Result<Vec<T>> {
            file.seek(SeekFrom::Start(self.start + from as u64))?;
            format.read(file, shape.iter().product())
        };
        read(&mut self.file).map_err(io(&self.path))
    }
}
