//! Finished runs in a folder: a comparison that was stopped goes on where it was.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use atomic_write_file::AtomicWriteFile;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use methods::Row;

use crate::{Error, Record, Result, Sweep, contents};

/// A comparison's folder.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

const TERMS: &str = "comparison.json";
/// The digest of a model, among the terms.
pub const WEIGHTS: &str = "weights";
const RUNS: &str = "runs";

impl Store {
    /// The folder, made if need be. `terms` is what all its runs have in common. A comparison with other terms makes room for
    /// a `fresh` one: it goes into a folder of its own beside it.
    ///
    /// # Errors
    /// The folder cannot be written, or holds the runs of a comparison with other terms, or something else.
    pub fn open(folder: &Path, terms: &BTreeMap<String, Value>, fresh: bool) -> Result<Self> {
        let store = Self { folder: folder.to_owned() };
        let names = contents::names(folder)?;
        if let Some(name) = names.first().filter(|_| !names.iter().any(|name| name == TERMS)) {
            return Err(Error::File {
                path: folder.to_owned(),
                reason: format!(
                    "it holds {name} and no {TERMS}, so no comparison: give --out a new or an empty folder"
                ),
            });
        }
        if let Some(old) = read::<BTreeMap<String, Value>>(&folder.join(TERMS))? {
            let before = |name: &String| old.get(name).unwrap_or(&Value::Null);
            // Earlier versions did not write all of them.
            let other = terms.iter().find(|(name, now)| {
                let was = before(name);
                was != *now && !(name.as_str() == WEIGHTS && was.is_null())
            });
            match other {
                Some(_) if fresh => set_aside(folder, &names)?,
                Some((name, now)) => {
                    let was = before(name);
                    return Err(Error::File {
                        path: folder.join(TERMS),
                        reason: format!(
                            "{name} was {was} and is {now}: these are the runs of another comparison; give --out \
                             another folder, or --fresh to begin anew in this one"
                        ),
                    });
                }
                None => {}
            }
        }
        let runs = folder.join(RUNS);
        std::fs::create_dir_all(&runs).map_err(|source| Error::Io { path: runs, source })?;
        write(&folder.join(TERMS), terms)?;
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

/// Where a comparison goes that makes room for another.
const EARLIER: &str = "earlier-";

/// Moves a comparison into a folder of its own beside it. What tells its terms stays until others take its place: at no time
/// is the folder another thing.
fn set_aside(folder: &Path, names: &[String]) -> Result<()> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    };
    let earlier = (1..).map(|number| folder.join(format!("{EARLIER}{number}")));
    let earlier = earlier.into_iter().find(|path| !path.exists()).expect("one of them is free");
    std::fs::create_dir(&earlier).map_err(at(&earlier))?;
    for name in names.iter().filter(|name| !name.starts_with(EARLIER) && *name != TERMS) {
        let path = folder.join(name);
        std::fs::rename(&path, earlier.join(name)).map_err(at(&path))?;
    }
    let terms = folder.join(TERMS);
    std::fs::copy(&terms, earlier.join(TERMS)).map_err(at(&terms))?;
    Ok(())
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
