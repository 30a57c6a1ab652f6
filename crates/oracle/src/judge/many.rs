//! A run over many cases, and what it comes to.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::check::{ask_case, check_case};
use super::submitted::submitted;
use super::tensor::Options;
use super::verdict::{Report, Verdict};
use crate::case::{Case, Index, Method, Op, cases_under, read_case};
use crate::diagnosis::{Diagnosis, Says, diagnose};
use crate::error::{Error, Result, at, io, wrong};

/// What a run over many cases came to.
#[derive(Debug, Default)]
pub struct Tally {
    /// A report for each case that could be judged, or was not run.
    pub reports: Vec<Report>,
    /// What explains the cases that fail.
    pub diagnosis: Diagnosis,
    /// Files that could not be read, and cases that are wrong.
    pub errors: Vec<Error>,
    /// Shipped cases whose digest is not the index's.
    pub corrupt: Vec<PathBuf>,
}

/// Judge the submission `folder/<id>.safetensors` of every case under `paths`, of these methods and ops (all, if none is
/// named). A case must be the one that `index.json` lists, in the path or in the folder that its id is counted from.
///
/// # Errors
/// A path or the folder does not exist, or an index cannot be read. What is wrong with single files is in the tally.
pub fn check_all(
    paths: &[PathBuf],
    folder: &Path,
    (methods, ops): (&[Method], &[Op]),
    options: Options,
) -> Result<Tally> {
    fs::read_dir(folder).map_err(io(folder))?;
    let (mut tally, mut files) = (Tally::default(), Vec::new());
    let (mut indexes, mut seen) = (BTreeMap::<PathBuf, Index>::new(), BTreeSet::new());
    for path in paths {
        let named = real(path);
        for path in cases_under(path)? {
            // Paths may overlap: a case is judged once.
            let place = real(&path);
            if !seen.insert(place.clone()) {
                continue;
            }
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
            let roots: BTreeSet<&Path> =
                [Some(named.as_path()), root(&place, &case)].into_iter().flatten().collect();
            let mut vouched = true;
            for root in roots {
                let index = match indexes.entry(root.to_owned()) {
                    Entry::Occupied(known) => known.into_mut(),
                    // Above a path that was named, a file of that name may be another program's.
                    Entry::Vacant(new) => new.insert(match Index::of(root) {
                        Err(_) if root != named => Index::default(),
                        index => index?,
                    }),
                };
                vouched &= index.vouches(&case, &file);
            }
            if !vouched {
                tally.corrupt.push(path);
                continue;
            }
            let judged = case.id.as_deref().ok_or_else(|| wrong("case: id is missing"));
            let judged = judged.and_then(|id| submitted(folder, id));
            let judged =
                judged.and_then(|answer| check_case(&case, &file, answer.as_ref(), options));
            match judged {
                Ok(report) => {
                    tally.reports.push(report);
                    files.push(path);
                }
                Err(error) => tally.errors.push(at(&path)(error)),
            }
        }
    }
    let ask = |case: usize, id: &str, mistakes: &[_]| {
        let (case, file) = read_case(&files[case])?;
        let Some(answer) = submitted(folder, id)? else { return Ok(Vec::new()) };
        ask_case(&case, &file, &answer, options, mistakes)
    };
    let ids: Vec<String> = tally.reports.iter().map(|report| report.case.clone()).collect();
    tally.diagnosis = diagnose(&mut tally.reports, &|case, mistakes| {
        // A file that has changed since it was judged says nothing any more.
        let says: Result<Vec<Says>> = ask(case, &ids[case], mistakes);
        says.unwrap_or_else(|_| vec![Says::Nothing; mistakes.len()])
    });
    Ok(tally)
}

/// The path without links and detours; as it is where it leads nowhere.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// The folder that a case lies in by its id, whichever of the folders within was named: where the index of shipped cases is.
fn root<'a>(path: &'a Path, case: &Case) -> Option<&'a Path> {
    let place = format!("{}.safetensors", case.id.as_ref()?);
    path.ends_with(&place).then(|| path.ancestors().nth(3)).flatten()
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
