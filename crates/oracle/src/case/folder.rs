//! Folders of cases, and their index.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::metadata::Case;
use crate::digest::digest;
use crate::error::{Result, at, io, wrong};
use crate::tensors::TensorFile;

/// The digests of shipped cases, by id: `index.json` beside them, a list of objects with `id` and `digest`, or an object
/// that has that list under `cases` and may say what flags mean under `flags`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Index {
    digests: BTreeMap<String, String>,
    /// What each flag means.
    pub flags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    digest: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum IndexJson {
    List(Vec<Entry>),
    Object {
        cases: Vec<Entry>,
        #[serde(default)]
        flags: BTreeMap<String, String>,
    },
}

impl Index {
    /// The index of a folder; empty if there is none.
    ///
    /// # Errors
    /// `index.json` cannot be read, or is not such a list.
    pub fn of(folder: &Path) -> Result<Self> {
        let path = folder.join("index.json");
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read(&path).map_err(io(&path))?;
        let json = serde_json::from_slice(&text).map_err(|error| at(&path)(wrong(error)))?;
        let (cases, flags) = match json {
            IndexJson::List(cases) => (cases, BTreeMap::new()),
            IndexJson::Object { cases, flags } => (cases, flags),
        };
        let digests = cases.into_iter().map(|entry| (entry.id, entry.digest)).collect();
        Ok(Self { digests, flags })
    }

    /// Every id it lists, sorted.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.digests.keys().map(String::as_str)
    }

    /// The digest of the case with this id.
    pub fn digest(&self, id: &str) -> Option<&str> {
        self.digests.get(id).map(String::as_str)
    }

    /// Is this the case that was shipped under its id? A case that the index does not list is nobody's.
    pub fn vouches(&self, case: &Case, file: &TensorFile) -> bool {
        let listed = case.id.as_ref().and_then(|id| self.digests.get(id));
        listed.is_none_or(|listed| *listed == digest(file))
    }
}

/// The case files under a path, sorted: a file is itself, a folder all `.safetensors` in it.
///
/// # Errors
/// The path does not exist or cannot be read.
pub fn cases_under(path: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(path, true, &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(path: &Path, named: bool, found: &mut Vec<PathBuf>) -> Result<()> {
    // A link to a folder within the tree may lead round in a circle.
    let kind = if named { fs::metadata(path) } else { fs::symlink_metadata(path) };
    if kind.map_err(io(path))?.is_dir() {
        for entry in fs::read_dir(path).map_err(io(path))? {
            walk(&entry.map_err(io(path))?.path(), false, found)?;
        }
    } else if named || path.extension().is_some_and(|extension| extension == "safetensors") {
        found.push(path.to_owned());
    }
    Ok(())
}

/// A case and its tensors.
///
/// # Errors
/// The file cannot be read, or the case in it is wrong.
pub fn read_case(path: &Path) -> Result<(Case, TensorFile)> {
    let file = TensorFile::read(path)?;
    let case = Case::of(&file).map_err(at(path))?;
    Ok((case, file))
}
