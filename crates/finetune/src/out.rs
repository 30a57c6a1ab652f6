//! Folders that results are written to: never one that holds something else.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::contents::{self, RUN};
use crate::{Error, Result};

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
        let names = contents::names(folder)?;
        let kept = contents::kept(folder);
        if names.is_empty() && kept.is_empty() {
            return Ok(());
        }
        let foreign = |name: &&String| name.as_str() != RUN && !(self.ours)(name);
        if let Some(name) = names.iter().find(foreign) {
            return fail(format!(
                "it holds {name}, which lowrank {} does not write: give --out a new or an empty folder",
                self.command
            ));
        }
        // A run may have ended when it had set aside what it was to replace, and written nothing.
        let written = kept.first().filter(|_| names.is_empty()).map_or(folder, PathBuf::as_path);
        match written_by(written)? {
            Some(command) if command == self.command && replaced => Ok(()),
            Some(command) if command == self.command => fail(format!(
                "it holds the result of an earlier lowrank {command}: give --out another folder, or --overwrite to \
                 replace that result"
            )),
            Some(command) => {
                fail(format!("lowrank {command} wrote it: give --out a new or an empty folder"))
            }
            None => fail(format!(
                "it holds {} and no {RUN}: give --out a new or an empty folder",
                names.first().map_or("", String::as_str)
            )),
        }
    }
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
}
