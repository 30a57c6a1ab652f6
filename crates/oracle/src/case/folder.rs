//! Folders of cases and submissions, and what a run over all of them comes to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{at, io, wrong};
use crate::judge::check::{Options, Report, Verdict, check};
use crate::{Case, Error, Method, Op, Result, TensorFile, digest};

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
enum RawIndex {
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
        let raw = serde_json::from_slice(&text).map_err(|error| at(&path)(wrong(error)))?;
        let (cases, flags) = match raw {
            RawIndex::List(cases) => (cases, BTreeMap::new()),
            RawIndex::Object { cases, flags } => (cases, flags),
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

/// What a run over many cases came to.
#[derive(Debug, Default)]
pub struct Tally {
    /// A report for each case that could be judged, or was not run.
    pub reports: Vec<Report>,
    /// Files that could not be read, and cases that are wrong.
    pub errors: Vec<Error>,
    /// Shipped cases whose digest is not the index's.
    pub corrupt: Vec<PathBuf>,
}

/// Judge the submission `folder/<id>.safetensors` of every case under `paths`, of these methods and ops (all, if none is
/// named).
///
/// # Errors
/// A path or the folder does not exist. What is wrong with single files is in the tally.
pub fn check_all(
    paths: &[PathBuf],
    folder: &Path,
    (methods, ops): (&[Method], &[Op]),
    options: Options,
) -> Result<Tally> {
    fs::read_dir(folder).map_err(io(folder))?;
    let mut tally = Tally::default();
    for path in paths {
        let index = if path.is_dir() { Index::of(path)? } else { Index::default() };
        for path in cases_under(path)? {
            let (case, file) = match read_case(&path) {
                Ok(read) => read,
                Err(error) => {
                    tally.errors.push(error);
                    continue;
                }
            };
            let chosen = (methods.is_empty() || methods.contains(&case.method))
                && (ops.is_empty() || ops.contains(&case.op));
            if !chosen {
                continue;
            }
            if !index.vouches(&case, &file) {
                tally.corrupt.push(path);
                continue;
            }
            match judge(&case, &file, folder, options) {
                Ok(report) => tally.reports.push(report),
                Err(error) => tally.errors.push(at(&path)(error)),
            }
        }
    }
    Ok(tally)
}

fn judge(case: &Case, file: &TensorFile, folder: &Path, options: Options) -> Result<Report> {
    let id = case.id.as_ref().ok_or_else(|| wrong("case: id is missing"))?;
    let path = folder.join(format!("{id}.safetensors"));
    let submission = if path.exists() { Some(TensorFile::read(&path)?) } else { None };
    check(file, submission.as_ref(), options)
}

impl Tally {
    /// How many cases have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.reports.iter().filter(|report| report.verdict == verdict).count()
    }

    /// 2: a file could not be read or a case is wrong; else 4: a shipped case is corrupt; else 1: a case failed; else 3:
    /// fewer than `least` cases were judged, or none; else 0.
    pub fn exit_code(&self, least: usize) -> u8 {
        let judged = self.count(Verdict::Pass) + self.count(Verdict::Fail);
        if !self.errors.is_empty() {
            2
        } else if !self.corrupt.is_empty() {
            4
        } else if self.count(Verdict::Fail) > 0 {
            1
        } else if judged < least.max(1) {
            3
        } else {
            0
        }
    }
}
