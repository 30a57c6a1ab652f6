//! What the self-test asks of each case.

use std::path::Path;

use super::confusion::Tested;
use super::matrix::{self, CaseRow};
use crate::case::{Class, Index, read_case};
use crate::digest::digest;
use crate::emit::emit_case;
use crate::judge::{Options, Verdict, check_case};

/// What a case came to.
#[derive(Default)]
pub(super) struct CaseResult {
    pub id: String,
    /// What is wrong with the file.
    pub digest: Vec<String>,
    /// Where the crates disagree with it.
    pub reference: Vec<String>,
    /// Where right results fail.
    pub honest: Vec<String>,
    pub row: Option<CaseRow>,
    /// What it says of whatever was submitted to be diagnosed.
    pub tested: Option<Tested>,
    /// Must it be refused?
    pub refused: bool,
}

/// One case: its digest, the reference, the honest results, the mutants.
pub(super) fn test_case(path: &Path, index: &Index) -> CaseResult {
    let mut result = CaseResult { id: path.display().to_string(), ..CaseResult::default() };
    let (case, file) = match read_case(path) {
        Ok(read) => read,
        Err(error) => {
            result.digest.push(error.to_string());
            return result;
        }
    };
    let Some(id) = &case.id else {
        result.digest.push(format!("{}: the case has no id", result.id));
        return result;
    };
    result.id.clone_from(id);
    if index.digest(id) != Some(digest(&file).as_str()) {
        result.digest.push(format!("{id}: not the case that index.json lists"));
    }
    result.refused = case.class == Some(Class::Reject);
    match (emit_case(&case, &file), result.refused) {
        (Ok(_), true) => result.reference.push(format!("{id}: accepted where it must be refused")),
        (Err(_), true) => {}
        (Err(error), false) => result.reference.push(format!("{id}: {error}")),
        (Ok(made), false) => match check_case(&case, &file, Some(&made), Options::default()) {
            Ok(report) if report.verdict == Verdict::Pass && report.warnings.is_empty() => {}
            Ok(report) => result.reference.push(format!("{report} {}", report.warnings.join("; "))),
            Err(error) => result.reference.push(format!("{id}: {error}")),
        },
    }
    match matrix::row_and_trials(&case, &file) {
        Ok((row, trials)) => {
            result.honest.extend(row.refuted());
            result.row = Some(row);
            let (path, method, op, rule) = (path.to_owned(), case.method, case.op, case.rule());
            result.tested = Some(Tested { path, method, op, rule, trials });
        }
        Err(error) => result.honest.push(format!("{id}: {error}")),
    }
    result
}
