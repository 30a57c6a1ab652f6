//! A file of tensors, opened: which there are is read and checked, each tensor is read when it is asked for.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use adapter::Real;
use ndarray::ArrayD;
use safetensors::tensor::{Dtype, TensorInfo};

use crate::header::{Header, check_length, layout};
use crate::{Error, Result, StorageDtype, torch};

/// An open file of tensors, on disk or in memory.
#[derive(Debug)]
pub struct TensorFile<R = File> {
    file: PathBuf,
    source: R,
    /// Where the tensors' bytes begin.
    start: u64,
    metadata: BTreeMap<String, String>,
    /// In the order of their bytes.
    tensors: Vec<(String, TensorInfo)>,
    /// Where each is in that list.
    places: BTreeMap<String, usize>,
}

impl TensorFile {
    /// Open a file and read its header.
    ///
    /// # Errors
    /// See [`from_reader`](Self::from_reader).
    pub fn open(path: &Path) -> Result<Self> {
        let fail = |source| Error::Read { file: path.to_owned(), source };
        Self::from_reader(path, File::open(path).map_err(fail)?)
    }

    /// Open a file that `torch.save` wrote, and read which tensors it has.
    ///
    /// # Errors
    /// See [`from_torch`](Self::from_torch).
    pub fn open_torch(path: &Path) -> Result<Self> {
        let fail = |source| Error::Read { file: path.to_owned(), source };
        Self::from_torch(path, File::open(path).map_err(fail)?)
    }
}

impl<'a> TensorFile<Cursor<&'a [u8]>> {
    /// The file whose bytes these are. `name` is what errors call it.
    ///
    /// # Errors
    /// See [`from_reader`](Self::from_reader).
    pub fn from_bytes(name: impl Into<PathBuf>, bytes: &'a [u8]) -> Result<Self> {
        Self::from_reader(name, Cursor::new(bytes))
    }
}

impl<R: Read + Seek> TensorFile<R> {
    /// Read the header. Nothing is allocated that the size of the source does not allow.
    ///
    /// # Errors
    /// It cannot be read, or it is no safetensors file: cut off, longer than its header says, with a header that is no JSON
    /// or above 100 MB, with two tensors of one name, or tensors that overlap, leave gaps or have more or fewer bytes than
    /// their shape and type say.
    pub fn from_reader(name: impl Into<PathBuf>, mut source: R) -> Result<Self> {
        let file = name.into();
        let (json, size) = read_header(&file, &mut source)?;
        let start = 8 + json.len() as u64;
        let Header { metadata, mut tensors } = serde_json::from_slice(&json)
            .map_err(|source| Error::Header { file: file.clone(), source })?;
        // A header may list them in any order.
        tensors.sort_by_key(|(_, info)| info.data_offsets);
        let described =
            layout(&tensors).map_err(|source| Error::Layout { file: file.clone(), source })?;
        let (described, there) = (described as u64, size - start);
        if described != there {
            let hint = if there < described { ": it is cut off" } else { "" };
            let reason = format!(
                "the header describes {described} bytes of tensors and the file has {there}{hint}"
            );
            return Err(Error::Length { file, reason });
        }
        Ok(Self::new(file, source, start, metadata, tensors))
    }

    /// The tensors of a file that `torch.save` wrote, a dictionary by their names (`adapter_model.bin`, for example). It is
    /// a pickle, which is a program: of it only that is carried out which puts tensors into a dictionary, and nothing is
    /// called. Nothing is allocated that the size of the source does not allow.
    ///
    /// # Errors
    /// It cannot be read; it is cut off, compressed, big-endian, or older than torch 1.6, whose files are no zip archives; the
    /// pickle does anything else, which is named; or a tensor does not lie row by row, or shares numbers with another.
    pub fn from_torch(name: impl Into<PathBuf>, mut source: R) -> Result<Self> {
        let file = name.into();
        let tensors = torch::tensors(&file, &mut source)?;
        Ok(Self::new(file, source, 0, BTreeMap::new(), tensors))
    }

    fn new(
        file: PathBuf,
        source: R,
        start: u64,
        metadata: BTreeMap<String, String>,
        tensors: Vec<(String, TensorInfo)>,
    ) -> Self {
        let places = tensors.iter().enumerate().map(|(place, (name, _))| (name.clone(), place));
        Self { places: places.collect(), file, source, start, metadata, tensors }
    }

    /// What errors call it: its path, if it is on disk.
    pub fn name(&self) -> &Path {
        &self.file
    }

    /// `__metadata__` of a safetensors file; empty if there is none.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The names of the tensors, in the order of their bytes.
    pub fn names(&self) -> Vec<String> {
        self.tensors.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Is there a tensor of this name?
    pub fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// Type and shape of a tensor.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn info(&self, name: &str) -> Result<&TensorInfo> {
        match self.places.get(name) {
            Some(place) => Ok(&self.tensors[*place].1),
            None => Err(Error::Missing { file: self.file.clone(), name: name.to_owned() }),
        }
    }

    /// How the real numbers of a tensor are stored.
    ///
    /// # Errors
    /// There is none of this name, or its elements are not F64, F32, F16 or BF16.
    pub fn storage_dtype(&self, name: &str) -> Result<StorageDtype> {
        let found = self.info(name)?.dtype;
        let needed = "one of F64, F32, F16 and BF16";
        StorageDtype::from_safetensors(found).ok_or_else(|| self.not_the_dtype(name, found, needed))
    }

    /// Ask for a type, where reading another one would round, or hide a mistake.
    ///
    /// # Errors
    /// There is no tensor of this name, or it is stored in another type.
    pub fn check_dtype(&self, name: &str, dtype: impl Into<Dtype>) -> Result<()> {
        let (found, dtype) = (self.info(name)?.dtype, dtype.into());
        if found == dtype {
            return Ok(());
        }
        Err(self.not_the_dtype(name, found, &dtype.to_string()))
    }

    /// The elements of a tensor as they are stored.
    ///
    /// # Errors
    /// There is none of this name, or it cannot be read.
    pub fn bytes(&mut self, name: &str) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.seek(name)?];
        self.source.read_exact(&mut bytes).map_err(|error| self.unreadable(error))?;
        Ok(bytes)
    }

    /// The numbers of a tensor, row by row, each rounded to `T`: exact but for F64 that is read as `f32`.
    ///
    /// # Errors
    /// There is none of this name, its elements are not F64, F32, F16 or BF16, or it cannot be read.
    pub fn numbers<T: Real>(&mut self, name: &str) -> Result<Vec<T>> {
        let dtype = self.storage_dtype(name)?;
        let mut left = self.seek(name)?;
        let mut numbers = Vec::with_capacity(left / dtype.size());
        // A piece at a time, so that a large tensor is not in memory twice.
        let mut buffer = vec![0; left.min(PIECE)];
        while left > 0 {
            let piece = &mut buffer[..left.min(PIECE)];
            self.source.read_exact(piece).map_err(|error| self.unreadable(error))?;
            dtype.decode(piece, &mut numbers);
            left -= piece.len();
        }
        Ok(numbers)
    }

    /// A tensor as an array, its numbers as [`numbers`](Self::numbers) has them.
    ///
    /// # Errors
    /// As there, or no array has its shape.
    pub fn array<T: Real>(&mut self, name: &str) -> Result<ArrayD<T>> {
        let shape = self.info(name)?.shape.clone();
        let numbers = self.numbers(name)?;
        ArrayD::from_shape_vec(shape.clone(), numbers).map_err(|source| Error::Shape {
            file: self.file.clone(),
            name: name.to_owned(),
            shape,
            source,
        })
    }

    /// Go to the first byte of a tensor, and say how many it has.
    fn seek(&mut self, name: &str) -> Result<usize> {
        let (from, to) = self.info(name)?.data_offsets;
        let place = SeekFrom::Start(self.start + from as u64);
        self.source.seek(place).map_err(|error| self.unreadable(error))?;
        Ok(to - from)
    }

    fn unreadable(&self, source: io::Error) -> Error {
        Error::Read { file: self.file.clone(), source }
    }

    fn not_the_dtype(&self, name: &str, found: Dtype, needed: &str) -> Error {
        let (file, name) = (self.file.clone(), name.to_owned());
        Error::Dtype { file, name, found, needed: needed.to_owned() }
    }
}

/// Bytes that are read at once: whole numbers of any type.
const PIECE: usize = 1 << 15;

/// The JSON of the header, and the size of the whole file.
fn read_header(file: &Path, source: &mut (impl Read + Seek)) -> Result<(Vec<u8>, u64)> {
    let fail = |source| Error::Read { file: file.to_owned(), source };
    let size = source.seek(SeekFrom::End(0)).map_err(fail)?;
    if size < 8 {
        let reason = format!("{size} bytes are no safetensors file: it is cut off");
        return Err(Error::Length { file: file.to_owned(), reason });
    }
    source.rewind().map_err(fail)?;
    let mut length = [0; 8];
    source.read_exact(&mut length).map_err(fail)?;
    let length = u64::from_le_bytes(length);
    check_length(file, length, size)?;
    let mut json = vec![0; length as usize];
    source.read_exact(&mut json).map_err(fail)?;
    Ok((json, size))
}
