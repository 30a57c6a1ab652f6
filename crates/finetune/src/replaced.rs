//! Earlier results that a run is to replace: kept in its folder until it has made its last step.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::contents::{REPLACED, RUN, UNFINISHED, WRITING, kept, names};
use crate::log::LOG;
use crate::{Error, Result};

/// Makes room in a run's folder. What it holds goes into a folder of its own beside the new run, whose path is returned; what a
/// run left that trained nothing is removed.
///
/// # Errors
/// The disk is read-only.
pub fn set_aside(folder: &Path) -> Result<Option<PathBuf>> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| Error::Io { path, source }
    };
    let unfinished = folder.join(UNFINISHED);
    let mut names = names(folder)?;
    if !unfinished.is_dir() && names.iter().all(|name| [RUN, LOG].contains(&name.as_str())) {
        for path in names.iter().map(|name| folder.join(name)) {
            fs::remove_file(&path).map_err(at(&path))?;
        }
        return Ok(None);
    }
    fs::create_dir_all(&unfinished).map_err(at(&unfinished))?;
    // What tells whose folder this is comes last: stopped in between, it is still told.
    names.sort_by_key(|name| name == RUN);
    for name in names {
        let path = folder.join(&name);
        fs::rename(&path, unfinished.join(name)).map_err(at(&path))?;
    }
    let numbered = (1..).map(|number| folder.join(format!("{REPLACED}{number}")));
    let kept = numbered.into_iter().find(|path| !path.exists()).expect("one of them is free");
    fs::rename(&unfinished, &kept).map_err(at(&unfinished))?;
    Ok(Some(kept))
}

/// Removes what was set aside: its successor is there. What cannot be removed stays, and harms nothing.
pub(crate) fn forget(folder: &Path) {
    for path in kept(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // By another name first: half a result is never taken for one, and the next run removes the rest.
        let removed = folder.join(format!("{WRITING}{name}"));
        let _ = fs::rename(path, &removed).and_then(|()| fs::remove_dir_all(removed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_toml;

    const WEIGHTS: &str = "adapter_model.safetensors";

    fn write(folder: &Path, name: &str, text: &str) {
        fs::write(folder.join(name), text).unwrap();
        fs::write(folder.join(RUN), run_toml("finetune", &[])).unwrap();
    }

    fn weights(folder: &Path) -> Vec<String> {
        kept(folder).iter().map(|path| fs::read_to_string(path.join(WEIGHTS)).unwrap()).collect()
    }

    /// Neither a run that diverges nor one that is interrupted costs an earlier one.
    #[test]
    fn a_result_is_kept_until_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (path, out) = (folder.path(), crate::out(folder.path()));
        write(path, WEIGHTS, "first");
        assert!(set_aside(path).unwrap().is_some());
        assert_eq!((weights(path), names(path).unwrap().len()), (vec!["first".to_owned()], 0));
        // Nothing has taken its place, but the folder is not empty.
        let error = out.check(&[], false).unwrap_err().to_string();
        assert!(error.contains("--overwrite"), "{error}");
        out.check(&[], true).unwrap();
        let merge = crate::Out { command: "merge", ..out };
        let error = merge.check(&[], true).unwrap_err().to_string();
        assert!(error.contains("lowrank finetune wrote it"), "{error}");

        // One run that diverged, and one that was interrupted.
        write(path, LOG, "second");
        assert_eq!(set_aside(path).unwrap(), None);
        write(path, WEIGHTS, "third");
        set_aside(path).unwrap();
        assert_eq!(weights(path), ["first", "third"]);

        write(path, WEIGHTS, "fourth");
        forget(path);
        assert!(kept(path).is_empty());
        assert_eq!(fs::read_to_string(path.join(WEIGHTS)).unwrap(), "fourth");
    }

    /// The machine stops in the midst of it: the rest follows.
    #[test]
    fn a_result_that_is_half_set_aside_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (path, out) = (folder.path(), crate::out(folder.path()));
        fs::create_dir(path.join(UNFINISHED)).unwrap();
        fs::write(path.join(UNFINISHED).join("adapter_config.json"), "{}").unwrap();
        write(path, WEIGHTS, "first");
        out.check(&[], true).unwrap();
        let kept = set_aside(path).unwrap().unwrap();
        assert_eq!(names(&kept).unwrap(), ["adapter_config.json", WEIGHTS, RUN]);
    }

    #[test]
    fn a_folder_of_such_a_name_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(".replaced-1")).unwrap();
        write(folder.path(), WEIGHTS, "first");
        let error = crate::out(folder.path()).check(&[], true).unwrap_err().to_string();
        assert!(error.contains("it holds .replaced-1"), "{error}");
    }
}
