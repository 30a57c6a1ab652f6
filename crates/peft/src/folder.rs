//! The two files of a folder: found, opened, and replaced together. Of either kind of adapter.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use adapter::Real;
use ndarray::ArrayViewD;
use tempfile::NamedTempFile;

use crate::error::{at, io, wrong};
use crate::tensors::{TensorFile, serialize};
use crate::{Kind, Result};

const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter_model.safetensors";
/// Of the key of a module's tensor.
pub(crate) const PREFIX: &str = "base_model.model.";

/// Which kind of adapter a folder holds, by the `peft_type` of its `adapter_config.json`.
///
/// # Errors
/// The file is missing or no JSON, or the kind is another: it is named.
pub fn kind(folder: &Path) -> Result<Kind> {
    read_config(folder, Kind::parse)
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
    read: impl FnOnce(&mut TensorFile) -> Result<M>,
) -> Result<M> {
    let path = folder.join(TENSORS);
    if !path.exists() && folder.join("adapter_model.bin").exists() {
        let reason = "only adapter_model.bin is there, a pickle, which can run code when it is read: \
                      load it with PEFT and save it again as safetensors";
        return Err(at(folder)(wrong(reason)));
    }
    let mut file = TensorFile::open(&path)?;
    read(&mut file).map_err(at(&path))
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

pub(crate) fn write_files<T: Real>(
    folder: &Path,
    config: &str,
    tensors: &BTreeMap<String, ArrayViewD<'_, T>>,
) -> Result<()> {
    let tensors = serialize(tensors).map_err(at(folder))?;
    replace(folder, &[(TENSORS, &tensors), (CONFIG, config.as_bytes())])
}

/// Put all of the files into the folder, or none.
fn replace(folder: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    let fresh = !folder.exists();
    std::fs::create_dir_all(folder).map_err(io(folder))?;
    let staged: Result<Vec<(NamedTempFile, PathBuf)>> =
        files.iter().map(|(name, bytes)| stage(folder.join(name), bytes)).collect();
    if staged.is_err() && fresh {
        let _ = std::fs::remove_dir(folder); // the first error is the one to report
    }
    for (file, path) in staged? {
        file.persist(&path).map_err(|error| io(&path)(error.error))?;
    }
    Ok(())
}

fn stage(path: PathBuf, bytes: &[u8]) -> Result<(NamedTempFile, PathBuf)> {
    let mut builder = tempfile::Builder::new();
    // Like any other new file: readable by whom the umask allows. A temporary file is its owner's alone.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(path.with_file_name("")).map_err(io(&path))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(io(&path))?;
    Ok((file, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second file cannot be made: the first one does not take its place either.
    #[test]
    fn all_files_or_none() {
        let directory = tempfile::tempdir().unwrap();
        let files: [(&str, &[u8]); 2] = [("first", b"new"), ("missing/second", b"new")];
        std::fs::write(directory.path().join("first"), "old").unwrap();
        let error = replace(directory.path(), &files).unwrap_err();
        assert!(error.to_string().contains("second: "), "{error}");
        assert_eq!(std::fs::read_to_string(directory.path().join("first")).unwrap(), "old");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);

        let fresh = directory.path().join("fresh");
        assert!(replace(&fresh, &files).is_err());
        assert!(!fresh.exists());
    }
}
