//! What lies in a run's folder, by name: its results, what is being written, and earlier results that were set aside.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The file that says which command wrote a folder, and with which options.
pub const RUN: &str = "run.toml";

/// How the name of a folder begins that is being written.
pub(crate) const WRITING: &str = ".writing-";

/// How the name of a folder begins that holds an earlier result.
pub(crate) const REPLACED: &str = ".replaced-";
/// The folder of an earlier result that is still being moved.
pub(crate) const UNFINISHED: &str = ".replaced-unfinished";

/// What is in a folder, apart from what a crash or the system may have left; nothing if there is no folder.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>> {
    let fail = |source| Error::Io { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // A file in its way is for whoever writes to notice.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(fail(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(fail)?.file_name().to_string_lossy().into_owned();
        if !name.starts_with(WRITING)
            && !is_kept(&folder.join(&name))
            && name != ".DS_Store"
            && name != "lost+found"
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// What was set aside in a folder.
pub(crate) fn kept(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut kept: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| is_kept(path)).collect();
    kept.sort();
    kept
}

/// Is it a folder of an earlier result, and not something else of such a name?
pub(crate) fn is_kept(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name == UNFINISHED || name.starts_with(REPLACED) && path.join(RUN).is_file()
}

/// Removes what a run that was killed had begun to write in its folder.
pub(crate) fn remove_unfinished(folder: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    let unfinished = entries.filter_map(std::result::Result::ok).filter(|entry| {
        entry.file_name().to_string_lossy().starts_with(WRITING) && entry.path().is_dir()
    });
    for path in unfinished.map(|entry| entry.path()) {
        fs::remove_dir_all(&path).map_err(|source| Error::Io { path, source })?;
    }
    Ok(())
}
