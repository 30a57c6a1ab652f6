//! A run over many cases, and what it comes to.

use std::fs;
use std::path::{Path, PathBuf};

use super::check::{ask_case, check_case};
use super::submitted::submitted;
use super::tensor::Options;
use super::verdict::{Report, Verdict};
use crate::case::{Index, Method, Op, cases_under, read_case};
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
    let (mut tally, mut files) = (Tally::default(), Vec::new());
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
