//! Folders that results are written to: never one that holds something else.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Error, Result};

/// The file that says which command wrote a folder, and with which options.
pub const RUN: &str = "run.toml";

/// A folder for the results of one command.
#[derive(Clone, Copy, Debug)]
pub struct Out<'a> {
    /// Where it is.
    pub folder: &'a Path,
    /// Who writes it: `finetune`.
    pub command: &'a str,
    /// Is this a name that the command writes?
    pub ours: fn(&str) -> bool,
}

impl Out<'_> {
    /// Is the folder new or empty, or one that the same command wrote and nobody else? The second only if it may be
    /// `replaced`.
    ///
    /// # Errors
    /// It is or holds one of `inputs`, which the result is made from; or it holds something of another kind, which is
    /// named; or an earlier result, and may not be replaced.
    pub fn check(&self, inputs: &[(&str, &Path)], replaced: bool) -> Result<()> {
        let folder = self.folder;
        let fail = |reason: String| Err(Error::File { path: folder.to_owned(), reason });
        let holds = |input: &Path| match (fs::canonicalize(folder), fs::canonicalize(input)) {
            (Ok(folder), Ok(input)) => input.starts_with(folder),
            _ => false,
        };
        if let Some((name, _)) = inputs.iter().find(|(_, input)| holds(input)) {
            return fail(format!(
                "this is the folder of {name}: a result written there would replace what it is made from; give --out \
                 another folder"
            ));
        }
        let names = names(folder)?;
        if names.is_empty() && !self.set_aside().exists() {
            return Ok(());
        }
        let foreign = |name: &&String| name.as_str() != RUN && !(self.ours)(name);
        if let Some(name) = names.iter().find(foreign) {
            return fail(format!(
                "it holds {name}, which lowrank {} does not write: give --out a new or an empty folder",
                self.command
            ));
        }
        match written_by(folder)? {
            Some(command) if command == self.command && replaced => Ok(()),
            Some(command) if command == self.command => fail(format!(
                "it holds the result of an earlier lowrank {command}: give --out another folder, or --overwrite to \
                 replace that result"
            )),
            Some(command) => {
                fail(format!("lowrank {command} wrote it: give --out a new or an empty folder"))
            }
            // What a run was to replace that ended before it had written anything.
            None if names.is_empty() && replaced => Ok(()),
            None if names.is_empty() => fail(format!(
                "it holds an earlier result in {REPLACED}: give --out another folder, or --overwrite to replace that result"
            )),
            None => fail(format!(
                "it holds {} and no {RUN}: give --out a new or an empty folder",
                names.first().map_or("", String::as_str)
            )),
        }
    }

    /// Makes room in a folder that [`check`](Self::check) let pass. What it holds is kept, in [`set_aside`](Self::set_aside), until
    /// [`forget`](Self::forget).
    ///
    /// # Errors
    /// The disk is read-only.
    pub fn clear(&self) -> Result<()> {
        let aside = self.set_aside();
        // Its mark is moved last, so an earlier result is there in whole: what is beside it, a run left that did not end.
        let whole = aside.join(RUN).is_file();
        let mut names = names(self.folder)?;
        names.sort_by_key(|name| name == RUN);
        if !whole && !names.is_empty() {
            fs::create_dir_all(&aside)
                .map_err(|source| Error::Io { path: aside.clone(), source })?;
        }
        for name in names {
            let path = self.folder.join(&name);
            let gone = match whole {
                false => fs::rename(&path, aside.join(name)),
                true if path.is_dir() => fs::remove_dir_all(&path),
                true => fs::remove_file(&path),
            };
            gone.map_err(|source| Error::Io { path, source })?;
        }
        Ok(())
    }

    /// Where [`clear`](Self::clear) puts what is to be replaced.
    pub fn set_aside(&self) -> PathBuf {
        self.folder.join(REPLACED)
    }

    /// Removes what was set aside: its successor is there.
    ///
    /// # Errors
    /// The disk is read-only.
    pub fn forget(&self) -> Result<()> {
        let aside = self.set_aside();
        if !aside.exists() {
            return Ok(());
        }
        fs::remove_dir_all(&aside).map_err(|source| Error::Io { path: aside, source })
    }
}

/// How the name of a folder begins that is being written.
pub(crate) const WRITING: &str = ".writing-";

const REPLACED: &str = ".replaced";

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
            && name != REPLACED
            && name != ".DS_Store"
            && name != "lost+found"
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The command that the folder's `run.toml` names; `None` if there is none that can be read.
fn written_by(folder: &Path) -> Result<Option<String>> {
    let path = folder.join(RUN);
    if !path.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).map_err(|source| Error::Io { path, source })?;
    let table: Option<toml::Table> = text.parse().ok();
    Ok(table.and_then(|table| Some(table.get("command")?.as_str()?.to_owned())))
}

/// The text of a `run.toml`: which command was given which options.
pub fn run_toml(command: &str, options: &[(String, Value)]) -> String {
    let mut table = toml::Table::new();
    for (name, value) in options {
        let value = toml::Value::try_from(value).expect("a flag, a text or a list of texts");
        table.insert(name.clone(), value);
    }
    format!(
        "# Written by lowrank: `lowrank {command} --config {RUN} --out FOLDER` does the same again.\n\
         command = \"{command}\"\n\n[options]\n{table}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An adapter that is started from may be a checkpoint of the folder that is to give way.
    #[test]
    fn what_a_result_is_made_from_does_not_give_way_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("checkpoint-000300");
        fs::create_dir(&checkpoint).unwrap();
        fs::write(folder.path().join(RUN), run_toml("finetune", &[])).unwrap();
        let out = crate::out(folder.path());
        out.check(&[], true).unwrap();
        out.check(&[("--model", Path::new("owner/name"))], true).unwrap();
        let error = out.check(&[("--init-adapter", &checkpoint)], true).unwrap_err().to_string();
        assert!(error.contains("the folder of --init-adapter"), "{error}");
        let error = out.check(&[], false).unwrap_err().to_string();
        assert!(error.contains("--overwrite"), "{error}");
    }

    /// Until its successor is there: neither a run that diverges nor one that is killed costs it.
    #[test]
    fn a_result_is_kept_until_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (path, out) = (folder.path(), crate::out(folder.path()));
        let run = |text: &str| {
            fs::write(path.join("log.jsonl"), text).unwrap();
            fs::write(path.join(RUN), run_toml("finetune", &[])).unwrap();
        };
        let kept = || fs::read_to_string(out.set_aside().join("log.jsonl")).unwrap();
        run("first");
        out.clear().unwrap();
        assert_eq!((kept().as_str(), names(path).unwrap().len()), ("first", 0));
        // Nothing has taken its place: the folder is not empty.
        let error = out.check(&[], false).unwrap_err().to_string();
        assert!(error.contains("--overwrite"), "{error}");
        out.check(&[], true).unwrap();

        // One run after the other that does not end.
        for text in ["second", "third"] {
            run(text);
            out.check(&[], true).unwrap();
            out.clear().unwrap();
            assert_eq!((kept().as_str(), names(path).unwrap().len()), ("first", 0));
        }
        run("fourth");
        out.forget().unwrap();
        assert!(!out.set_aside().exists());
        assert_eq!(fs::read_to_string(path.join("log.jsonl")).unwrap(), "fourth");
    }

    /// A crash in the midst of it: the rest follows.
    #[test]
    fn a_result_that_is_half_set_aside_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (path, out) = (folder.path(), crate::out(folder.path()));
        fs::create_dir(out.set_aside()).unwrap();
        fs::write(out.set_aside().join("adapter_config.json"), "{}").unwrap();
        fs::write(path.join("adapter_model.safetensors"), "").unwrap();
        fs::write(path.join(RUN), run_toml("finetune", &[])).unwrap();
        out.check(&[], true).unwrap();
        out.clear().unwrap();
        let mut kept = names(&out.set_aside()).unwrap();
        kept.sort();
        assert_eq!(kept, ["adapter_config.json", "adapter_model.safetensors", RUN]);
    }
}
