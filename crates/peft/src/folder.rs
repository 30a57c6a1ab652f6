//! The two files of a folder: found, opened, and replaced together. Of any kind of adapter.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use adapter::Real;
use ndarray::ArrayViewD;
use tensor_file::{Staging, StorageDtype, Stored, TensorFile};

use crate::error::{at, io, wrong};
use crate::tensors::Tensors;
use crate::{Kind, Result};

const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter_model.safetensors";
/// What older versions of PEFT wrote: read, never written.
const PICKLED: &str = "adapter_model.bin";
/// The files of an adapter's folder, as they are written.
pub const FILES: [&str; 2] = [CONFIG, TENSORS];

/// Which kind of adapter a folder holds, by `peft_type` and `use_dora` of its `adapter_config.json`.
///
/// # Errors
/// The file is missing or no JSON, or the kind is another: it is named.
pub fn kind(folder: &Path) -> Result<Kind> {
    read_config(folder, Kind::parse)
}

/// How a folder's numbers are stored: the smallest type that holds them all.
///
/// # Errors
/// The file is missing or damaged, has no tensors, or one that holds no real numbers.
pub fn storage_dtype(folder: &Path) -> Result<StorageDtype> {
    let (path, file) = open_tensors(folder)?;
    let dtype = |name: String| file.storage_dtype(&name);
    let dtypes = file.names().into_iter().map(dtype).collect::<Result<Vec<_>, _>>()?;
    let all = dtypes.into_iter().reduce(StorageDtype::join);
    all.ok_or_else(|| at(&path)(wrong("the adapter is empty: it has no tensors")))
}

/// What `parse` makes of the text of the configuration.
pub(crate) fn read_config<C>(folder: &Path, parse: impl Fn(&str) -> Result<C>) -> Result<C> {
    let path = folder.join(CONFIG);
    let text = std::fs::read_to_string(&path).map_err(io(&path))?;
    parse(&text).map_err(at(&path))
}

/// What `read` makes of the tensors.
pub(crate) fn read_tensors<M>(
    folder: &Path,
    read: impl FnOnce(&mut Tensors) -> Result<M>,
) -> Result<M> {
    let (path, file) = open_tensors(folder)?;
    Tensors::new(file).and_then(|mut tensors| read(&mut tensors)).map_err(at(&path))
}

fn open_tensors(folder: &Path) -> Result<(PathBuf, TensorFile)> {
    // As PEFT has it: the pickle counts only where there is nothing else.
    let (path, pickled) = (folder.join(TENSORS), folder.join(PICKLED));
    if !path.exists() && pickled.exists() {
        let file = TensorFile::open_torch(&pickled)?;
        return Ok((pickled, file));
    }
    let file = TensorFile::open(&path)?;
    Ok((path, file))
}

/// The keys of the two tensors of each module.
pub(crate) type Pairs = BTreeMap<String, [String; 2]>;

/// Sort a file's keys by module; `parse` splits a key into the module and 0 or 1, for the first or the second of its
/// tensors. Beside them, the keys that `parse` does not know.
pub(crate) fn pair_up(
    keys: Vec<String>,
    parse: impl Fn(&str) -> Option<(&str, usize)>,
) -> Result<(Pairs, Vec<String>)> {
    let (mut found, mut others) = (BTreeMap::<String, [Option<String>; 2]>::new(), Vec::new());
    for key in keys {
        let Some((module, which)) = parse(&key) else {
            others.push(key);
            continue;
        };
        let slot = &mut found.entry(module.to_owned()).or_default()[which];
        if let Some(first) = slot.replace(key.clone()) {
            return Err(wrong(format!("both {first} and {key} are there")));
        }
    }
    let mut pairs = Pairs::new();
    for (module, pair) in found {
        let pair = match pair {
            [Some(first), Some(second)] => [first, second],
            [Some(one), _] | [_, Some(one)] => {
                return Err(wrong(format!("{one} has no partner")));
            }
            [None, None] => unreachable!("an entry is made for a key"),
        };
        pairs.insert(module, pair);
    }
    Ok((pairs, others))
}

/// What `stage` stages, in its place at once.
pub(crate) fn write_at_once(
    folder: &Path,
    stage: impl FnOnce(&mut Staging) -> Result<()>,
) -> Result<()> {
    let mut files = Staging::new(folder)?;
    stage(&mut files)?;
    Ok(files.commit()?)
}

/// Both files, the configuration last: it is there only if its tensors are.
pub(crate) fn stage_files<T: Real>(
    files: &mut Staging,
    config: &str,
    tensors: &BTreeMap<String, ArrayViewD<'_, T>>,
) -> Result<()> {
    stage_files_as(files, config, tensors, StorageDtype::of::<T>()?)
}

/// The same, each number rounded to `dtype`.
pub(crate) fn stage_files_as<T: Real>(
    files: &mut Staging,
    config: &str,
    tensors: &BTreeMap<String, ArrayViewD<'_, T>>,
    dtype: StorageDtype,
) -> Result<()> {
    for (name, array) in tensors {
        if !array.iter().all(|number| dtype.round(number.to_f64()).is_finite()) {
            let reason = format!("{name} holds a number too large for {dtype}: store it as f32");
            return Err(at(files.folder())(wrong(reason)));
        }
    }
    let tensors = tensors.iter().map(|(name, array)| (name, Stored::new(array.view(), dtype)));
    // PEFT writes this; transformers refuses a file without it.
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    files.write_tensors(TENSORS, tensors, &metadata)?;
    Ok(files.write(CONFIG, config.as_bytes())?)
}
