//! Finished runs in a folder: a comparison that was stopped goes on where it was.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use atomic_write_file::AtomicWriteFile;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use methods::Row;

use crate::{Error, Record, Result, Sweep, out};

/// A comparison's folder.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

const TERMS: &str = "comparison.json";
const RUNS: &str = "runs";

impl Store {
    /// The folder, made if need be. `terms` is what all its runs have in common.
    ///
    /// # Errors
    /// The folder cannot be written, or holds the runs of a comparison with other terms, or something else.
    pub fn open(folder: &Path, terms: &BTreeMap<String, Value>) -> Result<Self> {
        let store = Self { folder: folder.to_owned() };
        let names = out::names(folder)?;
        if let Some(name) = names.first().filter(|_| !names.iter().any(|name| name == TERMS)) {
            return Err(Error::File {
                path: folder.to_owned(),
                reason: format!(
                    "it holds {name} and no {TERMS}, so no comparison: give --out a new or an empty folder"
                ),
            });
        }
        let runs = folder.join(RUNS);
        std::fs::create_dir_all(&runs).map_err(|source| Error::Io { path: runs, source })?;
        match read::<BTreeMap<String, Value>>(&folder.join(TERMS))? {
            None => write(&folder.join(TERMS), terms)?,
            Some(old) => {
                let before = |name: &String| old.get(name).unwrap_or(&Value::Null);
                let other = terms.iter().find(|(name, now)| before(name) != *now);
                if let Some((name, now)) = other {
                    let was = before(name);
                    return Err(Error::File {
                        path: folder.join(TERMS),
                        reason: format!(
                            "{name} was {was} and is {now}: these are the runs of another comparison; give --out \
                             another folder"
                        ),
                    });
                }
            }
        }
        Ok(store)
    }

    /// The record of a run, or `None` when it has not been made. `purpose` tells a sweep's runs from those reported.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn get(&self, purpose: &str, row: &Row, lr: f64, seed: u64) -> Result<Option<Outcome>> {
        read(&self.path(purpose, row, lr, seed))
    }

    /// Keep the outcome of a run.
    ///
    /// # Errors
    /// The disk is full or read-only.
    pub fn put(
        &self,
        purpose: &str,
        row: &Row,
        lr: f64,
        seed: u64,
        outcome: &Outcome,
    ) -> Result<()> {
        write(&self.path(purpose, row, lr, seed), outcome)
    }

    /// Keep a sweep as `sweep.json`, to be read by a person or by `--rates`.
    ///
    /// # Errors
    /// The disk is full or read-only.
    pub fn put_sweep(&self, sweep: &Sweep) -> Result<()> {
        write(&self.folder.join("sweep.json"), sweep)
    }

    fn path(&self, purpose: &str, row: &Row, lr: f64, seed: u64) -> PathBuf {
        self.folder.join(RUNS).join(format!("{purpose}-{row}-lr{lr}-seed{seed}.json"))
    }
}

/// A record, or `None` for a run that diverged.
pub type Outcome = Option<Record>;

fn read<V: DeserializeOwned>(path: &Path) -> Result<Option<V>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Io { path: path.to_owned(), source }),
    };
    let value = serde_json::from_str(&text).map_err(|error| Error::File {
        path: path.to_owned(),
        reason: format!("{error}: delete the file to have it made again"),
    })?;
    Ok(Some(value))
}

/// To a temporary file first, which then takes its place.
fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value).expect("plain data");
    let write = || {
        let mut temporary = AtomicWriteFile::open(path)?;
        temporary.write_all(text.as_bytes())?;
        temporary.commit()
    };
    write().map_err(|source| Error::Io { path: path.to_owned(), source })
}
