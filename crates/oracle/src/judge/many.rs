//! A run over many cases, and what it comes to.

use std::fs;
use std::path::{Path, PathBuf};

use super::check::check_case;
use super::tensor::Options;
use super::verdict::{Report, Verdict};
use crate::case::{Case, Index, Method, Op, cases_under, read_case};
use crate::error::{Error, Result, at, io, wrong};
use crate::tensors::TensorFile;

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
    check_case(case, file, submission.as_ref(), options)
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
