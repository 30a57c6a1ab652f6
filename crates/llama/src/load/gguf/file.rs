//! One file: a header, metadata by key, a table of tensors, and their bytes.
//!
//! header (magic, version, counts) · metadata (key, type, value) · tensor table (name, dimensions, type, offset) ·
//! padding · tensors. All little-endian. Dimensions are listed innermost first.
//!
//! Every count, length and offset is compared with what is left of the file before anything is allocated for it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use adapter::Real;

use super::super::dequantise::Format;
use super::metadata::Metadata;
use super::problem::{Outcome, wrong};
use super::source::{Source, Value};
use crate::Result;
use crate::error::io;

pub type Tensors = BTreeMap<String, Tensor>;

/// An open file.
pub struct Part {
    pub path: PathBuf,
    pub source: Source,
    /// Where the tensors' bytes begin.
    start: u64,
}

#[derive(Debug)]
pub struct Tensor {
    /// Outermost first, as in a Hugging Face checkpoint.
    pub shape: Vec<usize>,
    pub format: Format,
    /// The number of its file, of several.
    pub part: usize,
    offset: u64,
}

impl Part {
    /// Read everything but arrays and tensors.
    ///
    /// # Errors
    /// It is not a GGUF file of a known version, or it is cut off, or its counts and offsets do not fit its size.
    pub fn open(path: &Path) -> Result<(Self, Metadata, Tensors)> {
        let file = File::open(path).map_err(io(path))?;
        let size = file.metadata().map_err(io(path))?.len();
        let mut source = Source { reader: BufReader::new(file), at: 0, size };
        let mut parse = || -> Outcome<_> {
            let (tensor_count, metadata_count) = header(&mut source)?;
            let metadata = metadata(&mut source, metadata_count)?;
            let alignment = alignment(&metadata)?;
            let tensors = tensor_table(&mut source, tensor_count, alignment)?;
            let start = source.at.next_multiple_of(alignment);
            check_extent(&tensors, start, size)?;
            Ok((metadata, tensors, start))
        };
        let (metadata, tensors, start) = parse().map_err(|problem| problem.at(path))?;
        Ok((Self { path: path.to_owned(), source, start }, metadata, tensors))
    }

    /// All numbers of a tensor of this file.
    pub fn read<T: Real>(&mut self, tensor: &Tensor) -> Result<Vec<T>> {
        let mut read = || {
            self.source.reader.seek(SeekFrom::Start(self.start + tensor.offset))?;
            tensor.format.read(&mut self.source.reader, tensor.shape.iter().product())
        };
        read().map_err(io(&self.path))
    }
}

/// (tensors, metadata entries).
fn header(source: &mut Source) -> Outcome<(u64, u64)> {
    match &source.array()? {
        b"GGUF" => {}
        // version https://git-lfs.github.com/spec/v1
        b"vers" => {
            return Err("a Git LFS pointer and not the file itself: `git lfs pull` in its folder fetches that".into());
        }
        _ => return Err("not a GGUF file: it does not begin with \"GGUF\"".into()),
    }
    match source.u32()? {
        2 | 3 => {}
        version if version.swap_bytes() <= 3 => {
            return Err("a big-endian GGUF file: only little-endian ones are read".into());
        }
        version => return wrong(format!("GGUF version {version}: only 2 and 3 are read")),
    }
    let (tensors, entries) = (source.u64()?, source.u64()?);
    // A tensor takes at least 24 bytes in its table, an entry 13.
    source.check_count("tensors", tensors, 24)?;
    source.check_count("metadata entries", entries, 13)?;
    Ok((tensors, entries))
}

fn metadata(source: &mut Source, count: u64) -> Outcome<Metadata> {
    let mut metadata = Metadata::default();
    for _ in 0..count {
        let key = source.string()?;
        let kind = source.u32()?;
        let value = source.value(kind).map_err(|problem| problem.of("metadata", &key))?;
        if metadata.0.insert(key.clone(), value).is_some() {
            return wrong(format!("metadata {key:?} is there twice"));
        }
    }
    Ok(metadata)
}

fn alignment(metadata: &Metadata) -> Outcome<u64> {
    match metadata.0.get("general.alignment") {
        None => Ok(32),
        Some(&Value::Whole(alignment @ 1..=0x1_0000)) if alignment.count_ones() == 1 => {
            Ok(alignment as u64)
        }
        Some(other) => {
            wrong(format!("general.alignment is {other}: it must be a power of two up to 65536"))
        }
    }
}

fn tensor_table(source: &mut Source, count: u64, alignment: u64) -> Outcome<Tensors> {
    let mut tensors = Tensors::new();
    for _ in 0..count {
        let name = source.string()?;
        let tensor = tensor(source, alignment).map_err(|problem| problem.of("tensor", &name))?;
        if tensors.insert(name.clone(), tensor).is_some() {
            return wrong(format!("tensor {name:?} is there twice"));
        }
    }
    Ok(tensors)
}

fn tensor(source: &mut Source, alignment: u64) -> Outcome<Tensor> {
    let dimensions = source.u32()?;
    if dimensions > 4 {
        return wrong(format!("{dimensions} dimensions: at most 4 are possible"));
    }
    let mut shape = Vec::new();
    for _ in 0..dimensions {
        let size = source.u64()?;
        shape.push(usize::try_from(size).map_err(|_| format!("a dimension of {size}"))?);
    }
    let format = Format::of(source.u32()?)?;
    let row = shape.first().copied().unwrap_or(1);
    if !row.is_multiple_of(format.block().0) {
        return wrong(format!("rows of {row} numbers do not fill the blocks of {format}"));
    }
    shape.reverse();
    let offset = source.u64()?;
    if !offset.is_multiple_of(alignment) {
        return wrong(format!("offset {offset} is not a multiple of the alignment, {alignment}"));
    }
    Ok(Tensor { shape, format, part: 0, offset })
}

/// Do the tensors lie in the file, apart from each other?
fn check_extent(tensors: &Tensors, start: u64, size: u64) -> Outcome<()> {
    let available = size.saturating_sub(start);
    let mut spans = Vec::new();
    for (name, tensor) in tensors {
        let count =
            tensor.shape.iter().try_fold(1u64, |count, &size| count.checked_mul(size as u64));
        let bytes = count.and_then(|count| tensor.format.bytes(count));
        let end = bytes.and_then(|bytes| tensor.offset.checked_add(bytes));
        let end = end.filter(|&end| end <= available).ok_or_else(|| {
            format!(
                "tensor {name:?} of shape {:?} at offset {} reaches beyond the {available} bytes of tensors: the file \
                 is cut off or lies",
                tensor.shape, tensor.offset
            )
        })?;
        spans.push((tensor.offset, end, name));
    }
    spans.sort_unstable();
    match spans.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        Some(pair) => wrong(format!("tensors {:?} and {:?} overlap", pair[0].2, pair[1].2)),
        None => Ok(()),
    }
}
