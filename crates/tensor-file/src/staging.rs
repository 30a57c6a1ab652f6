//! Files that take their places on the disk together: whoever reads them finds the old ones or the new ones, whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::View;
use tempfile::TempDir;

use crate::write::{Entry, Plan, named};
use crate::{Digest, DigestWriter, Error, Result, StorageDtype};

/// The files of a folder that is about to be written, in a temporary one until [`commit`](Self::commit). Dropped without
/// it, they are deleted again.
///
/// A folder that does not exist appears whole or not at all. In one that exists, each file is replaced in one step, after
/// all have been written; other files stay. Or, if it is [`replacing`](Self::replacing), the whole folder gives way.
pub struct Staging {
    folder: PathBuf,
    /// The folder takes its place as a whole.
    whole: bool,
    temporary: TempDir,
    names: Vec<String>,
    digests: BTreeMap<String, Digest>,
}

impl Staging {
    /// Make the temporary folder: in `folder`, or beside it if there is none.
    ///
    /// # Errors
    /// The place is read-only, or a file is where the folder should be.
    pub fn new(folder: &Path) -> Result<Self> {
        Self::make(folder, !folder.is_dir())
    }

    /// The same for a folder that is replaced as a whole: nothing that it holds stays.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn replacing(folder: &Path) -> Result<Self> {
        // An empty folder may be one that cannot be moved, such as a place where another disk is mounted.
        let empty = folder.read_dir().is_ok_and(|mut entries| entries.next().is_none());
        Self::make(folder, !empty)
    }

    fn make(folder: &Path, whole: bool) -> Result<Self> {
        let make = || {
            let place = if whole { parent(folder) } else { folder };
            fs::create_dir_all(place)?;
            temporary_folder(place)
        };
        let temporary = make().map_err(cannot_write(folder))?;
        Ok(Self {
            folder: folder.to_owned(),
            whole,
            temporary,
            names: Vec::new(),
            digests: BTreeMap::new(),
        })
    }

    /// Where the files will be.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The digest of each file that was written so far.
    pub fn digests(&self) -> &BTreeMap<String, Digest> {
        &self.digests
    }

    /// Write a file of these bytes. Its name may have a folder in front, as in `templates/plain.jinja`.
    ///
    /// # Errors
    /// The disk is full or read-only.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.fill(name, |file| file.write_all(bytes))
    }

    /// Write a safetensors file: see [`to_bytes`](crate::to_bytes). One tensor at a time is converted.
    ///
    /// # Errors
    /// As there, or the disk is full or read-only.
    pub fn write_tensors<V: View>(
        &mut self,
        name: &str,
        tensors: impl IntoIterator<Item = (impl Into<String>, V)>,
        metadata: &BTreeMap<String, String>,
    ) -> Result<()> {
        let fail = |source| Error::Layout { file: self.folder.join(name), source };
        let tensors = named(tensors);
        let plan = Plan::new(tensors.iter().map(Entry::of), metadata).map_err(fail)?;
        self.fill(name, |file| plan.write(file, |i| Ok::<_, io::Error>(tensors[i].1.data())))
    }

    /// Write a safetensors file of tensors that are made one at a time: `make` is asked for the bytes of each by its
    /// name, as [`StorageDtype::encode`] makes them, and only one is in memory.
    ///
    /// # Errors
    /// As [`write_tensors`](Self::write_tensors), those of `make`, or it makes too few bytes or too many.
    pub fn write_made<E: From<Error>>(
        &mut self,
        name: &str,
        dtype: StorageDtype,
        tensors: &[(String, Vec<usize>)],
        metadata: &BTreeMap<String, String>,
        mut make: impl FnMut(&str, &[usize]) -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        let fail = |source| Error::Layout { file: self.folder.join(name), source };
        let entries = tensors.iter().map(|(name, shape)| Entry::new(name, dtype, shape));
        let plan = Plan::new(entries, metadata).map_err(fail)?;
        let mut failed = None;
        let written = self.fill(name, |file| {
            plan.write(file, |i| {
                let (name, shape) = &tensors[i];
                let bytes = make(name, shape).map_err(|error| {
                    failed = Some(error);
                    io::Error::other("a tensor could not be made")
                })?;
                let numbers: usize = shape.iter().product();
                match bytes.len() == numbers * dtype.size() {
                    true => Ok(bytes.into()),
                    false => Err(io::Error::other(format!(
                        "{name} has other bytes than its shape asks for"
                    ))),
                }
            })
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(written?),
        }
    }

    fn fill(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut DigestWriter<BufWriter<File>>) -> io::Result<()>,
    ) -> Result<()> {
        let create = || {
            let path = self.temporary.path().join(name);
            fs::create_dir_all(parent(&path))?;
            let file = File::create(path)?;
            let mut file = DigestWriter::new(BufWriter::new(file));
            write(&mut file)?;
            let digest = file.digest();
            file.into_inner().into_inner()?.sync_all()?;
            Ok(digest)
        };
        let digest = create().map_err(cannot_write(&self.folder.join(name)))?;
        self.names.push(name.to_owned());
        self.digests.insert(name.to_owned(), digest);
        Ok(())
    }

    /// Let the files take their places, in the order in which they were written.
    ///
    /// # Errors
    /// The disk is read-only, or a folder is where a file should be. The files from there on are then as they were.
    pub fn commit(self) -> Result<()> {
        let Self { folder, whole, temporary, names, .. } = self;
        let staged = temporary.path();
        if whole {
            let take = || {
                sync_folder(staged)?;
                if folder.is_dir() {
                    // The old one goes with the temporary folder that it is moved to, unless the new one cannot come.
                    let old = temporary_folder(parent(&folder))?;
                    let aside = old.path().join("old");
                    fs::rename(&folder, &aside)?;
                    return fs::rename(staged, &folder).inspect_err(|_| {
                        // What cannot be put back stays where it can be found.
                        if fs::rename(&aside, &folder).is_err() {
                            let _ = old.keep();
                        }
                    });
                }
                fs::rename(staged, &folder)
            };
            take().map_err(cannot_write(&folder))?;
            // It has another name now: there is nothing left to delete.
            let _ = temporary.keep();
            return sync_folder(parent(&folder)).map_err(cannot_write(&folder));
        }
        for name in &names {
            let path = folder.join(name);
            let take = || {
                fs::create_dir_all(parent(&path))?;
                fs::rename(staged.join(name), &path)
            };
            take().map_err(cannot_write(&path))?;
        }
        sync_folder(&folder).map_err(cannot_write(&folder))
    }
}

fn cannot_write(file: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::Write { file: file.to_owned(), source }
}

fn parent(folder: &Path) -> &Path {
    match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Readable by whom the umask allows, like any other new folder.
fn temporary_folder(place: &Path) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder.prefix(".writing-").tempdir_in(place)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    // Windows has no way to open a folder for this.
    if cfg!(windows) { Ok(()) } else { File::open(folder)?.sync_all() }
}
