//! A file that `torch.save` wrote, `adapter_model.bin` for example: a zip archive with a pickle, which says what tensors
//! there are, and a record for each storage, which has their numbers. Nothing in the archive is compressed, so a tensor
//! is read from where it lies, as one of a safetensors file is.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use rawzip::{CompressionMethod, RECOMMENDED_BUFFER_SIZE, ZipArchive};
use safetensors::tensor::TensorInfo;

use crate::header::MAX_HEADER;
use crate::pickle::{self, Tensor};
use crate::{Error, Result};

/// From, and to: bytes of the file.
type Place = (u64, u64);

/// Type, shape and place in the file of each tensor, in the order of their bytes.
pub(crate) fn tensors(
    file: &Path,
    source: &mut (impl Read + Seek),
) -> Result<Vec<(String, TensorInfo)>> {
    let wrong = |reason: String| Error::Torch { file: file.to_owned(), reason };
    let fail = |source| Error::Read { file: file.to_owned(), source };
    let records = records(source).map_err(wrong)?;
    let pickled = records.keys().find(|name| name.ends_with("/data.pkl"));
    let Some(archive) = pickled.and_then(|name| name.strip_suffix("data.pkl")) else {
        return Err(wrong(
            "a zip archive, but not one that torch.save wrote: data.pkl is missing".into(),
        ));
    };
    let mut read = |(from, to): Place| {
        if to - from > MAX_HEADER {
            return Err(wrong(format!("its pickle has {} bytes: more than 100 MB", to - from)));
        }
        let mut bytes = vec![0; (to - from) as usize];
        source.seek(SeekFrom::Start(from)).map_err(fail)?;
        source.read_exact(&mut bytes).map_err(fail)?;
        Ok(bytes)
    };
    if let Some(place) = records.get(&format!("{archive}byteorder"))
        && read(*place)? != b"little"
    {
        return Err(wrong("its numbers are big-endian: save it again on another machine".into()));
    }
    let program = read(records[&format!("{archive}data.pkl")])?;
    let mut tensors = Vec::new();
    for (name, tensor) in pickle::tensors(&program).map_err(wrong)? {
        let storage = records.get(&format!("{archive}data/{}", tensor.storage));
        let storage =
            storage.ok_or_else(|| wrong(format!("the numbers of {name:?} are missing")))?;
        let place = place(&tensor, *storage).map_err(|why| wrong(format!("{name:?} {why}")))?;
        let Tensor { dtype, shape, .. } = tensor;
        tensors.push((name, TensorInfo { dtype, shape, data_offsets: place }));
    }
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    check_shared(&tensors).map_err(wrong)?;
    Ok(tensors)
}

/// Where the records of an archive lie, by name.
fn records(source: &mut (impl Read + Seek)) -> Result<BTreeMap<String, Place>, String> {
    let size = source.seek(SeekFrom::End(0)).map_err(|error| error.to_string())?;
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let zip =
        |error: rawzip::Error| format!("no zip archive as torch.save writes it since 1.6: {error}");
    let archive = ZipArchive::from_seekable(source, &mut buffer).map_err(zip)?;
    let mut entries = archive.entries(&mut buffer);
    let mut records = BTreeMap::new();
    while let Some(entry) = entries.next_entry().map_err(zip)? {
        let name = String::from_utf8_lossy(entry.file_path().as_bytes()).into_owned();
        if entry.compression_method() != CompressionMethod::STORE {
            return Err(format!("{name:?} is compressed, which torch.save does not do"));
        }
        let place = archive.get_entry(entry.wayfinder()).map_err(zip)?.compressed_data_range();
        if !(place.0 <= place.1 && place.1 <= size) {
            return Err(format!("{name:?} lies outside the file"));
        }
        if records.insert(name.clone(), place).is_some() {
            return Err(format!("{name:?} is there twice"));
        }
    }
    Ok(records)
}

/// Where a tensor's bytes are in the file, if they lie row by row inside its storage.
fn place(tensor: &Tensor, (from, to): Place) -> Result<(usize, usize), String> {
    let mut count = 1_usize;
    for (length, stride) in tensor.shape.iter().zip(&tensor.strides).rev() {
        if *length > 1 && *stride != count {
            return Err("does not lie row by row: save it with .contiguous()".to_owned());
        }
        count = count.checked_mul(*length).ok_or("has more numbers than the file")?;
    }
    let inside = || {
        let size = tensor.dtype.bitsize() as u64 / 8;
        let begin = from.checked_add((tensor.offset as u64).checked_mul(size)?)?;
        let end = begin.checked_add((count as u64).checked_mul(size)?)?;
        (end <= to).then_some((begin.try_into().ok()?, end.try_into().ok()?))
    };
    inside().ok_or_else(|| "has more numbers than its storage".to_owned())
}

/// Each tensor has numbers of its own, so that all of them together are no larger than the file. They are in the order of
/// their bytes.
fn check_shared(tensors: &[(String, TensorInfo)]) -> Result<(), String> {
    let mut tensors = tensors.iter().filter(|(_, info)| info.data_offsets.0 < info.data_offsets.1);
    let Some(mut last) = tensors.next() else { return Ok(()) };
    for tensor in tensors {
        if tensor.1.data_offsets.0 < last.1.data_offsets.1 {
            let (one, other) = (&last.0, &tensor.0);
            return Err(format!("{one:?} and {other:?} share numbers: save them with .clone()"));
        }
        last = tensor;
    }
    Ok(())
}
