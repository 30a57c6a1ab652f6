//! Files that take their places on the disk together: whoever reads them finds the old ones or the new ones, whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::View;
use tempfile::TempDir;

use crate::write::Plan;
use crate::{Error, Result};

/// The files of a folder that is about to be written, in a temporary one until [`commit`](Self::commit). Dropped without
/// it, they are deleted again.
///
/// A folder that does not exist appears whole or not at all. In one that exists, each file is replaced in one step, after
/// all have been written; other files stay.
pub struct Staging {
    folder: PathBuf,
    /// The folder was not there when we began.
    new: bool,
    temporary: TempDir,
    names: Vec<String>,
}

impl Staging {
    /// Make the temporary folder: in `folder`, or beside it if there is none.
    ///
    /// # Errors
    /// The place is read-only, or a file is where the folder should be.
    pub fn new(folder: &Path) -> Result<Self> {
        let new = !folder.is_dir();
        let make = || {
            let place = if new { parent(folder) } else { folder };
            fs::create_dir_all(place)?;
            temporary(place)
        };
        let temporary = make().map_err(cannot_write(folder))?;
        Ok(Self { folder: folder.to_owned(), new, temporary, names: Vec::new() })
    }

    /// Write a file of these bytes.
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
        let plan = Plan::new(tensors, metadata).map_err(fail)?;
        self.fill(name, |file| plan.write(file))
    }

    fn fill(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<()> {
        let create = || {
            let mut file = BufWriter::new(File::create(self.temporary.path().join(name))?);
            write(&mut file)?;
            file.into_inner()?.sync_all()
        };
        create().map_err(cannot_write(&self.folder.join(name)))?;
        self.names.push(name.to_owned());
        Ok(())
    }

    /// Let the files take their places, in the order in which they were written.
    ///
    /// # Errors
    /// The disk is read-only, or a folder is where a file should be. The files from there on are then as they were.
    pub fn commit(self) -> Result<()> {
        let Self { folder, new, temporary, names } = self;
        let staged = temporary.path();
        if new {
            let take = || {
                sync_folder(staged)?;
                fs::rename(staged, &folder)
            };
            take().map_err(cannot_write(&folder))?;
            // It has another name now: there is nothing left to delete.
            let _ = temporary.keep();
            return sync_folder(parent(&folder)).map_err(cannot_write(&folder));
        }
        for name in &names {
            let path = folder.join(name);
            fs::rename(staged.join(name), &path).map_err(cannot_write(&path))?;
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
fn temporary(place: &Path) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder.prefix(".writing-").tempdir_in(place)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    // Windows has no way to open a folder for this.
    if cfg!(windows) { Ok(()) } else { File::open(folder)?.sync_all() }
}
