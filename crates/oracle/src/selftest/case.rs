//! What the self-test asks of each case.

use std::path::Path;

use super::matrix::{self, CaseRow};
use crate::judge::check::{Options, Verdict, check};
use crate::{Class, Index, digest, emit, read_case};

/// What a case came to.
#[derive(Default)]
pub(super) struct Seen {
    pub id: String,
    pub digest: Vec<String>,
    pub reference: Vec<String>,
    pub honest: Vec<String>,
    pub row: Option<CaseRow>,
    pub refused: bool,
}

/// One case: its digest, the reference, the honest results, the mutants.
pub(super) fn look(path: &Path, index: &Index) -> Seen {
    let mut seen = Seen { id: path.display().to_string(), ..Seen::default() };
    let (case, file) = match read_case(path) {
        Ok(read) => read,
        Err(error) => {
            seen.digest.push(error.to_string());
            return seen;
        }
    };
    let Some(id) = &case.id else {
        seen.digest.push(format!("{}: the case has no id", seen.id));
        return seen;
    };
    seen.id.clone_from(id);
    if index.digest(id) != Some(digest(&file).as_str()) {
        seen.digest.push(format!("{id}: not the case that index.json lists"));
    }
    seen.refused = case.class == Some(Class::Reject);
    match (emit(&file), seen.refused) {
        (Ok(_), true) => seen.reference.push(format!("{id}: accepted where it must be refused")),
        (Err(_), true) => {}
        (Err(error), false) => seen.reference.push(format!("{id}: {error}")),
        (Ok(made), false) => match check(&file, Some(&made), Options::default()) {
            Ok(report) if report.verdict == Verdict::Pass && report.warnings.is_empty() => {}
            Ok(report) => seen.reference.push(format!("{report} {}", report.warnings.join("; "))),
            Err(error) => seen.reference.push(format!("{id}: {error}")),
        },
    }
    match matrix::row(&case, &file) {
        Ok(row) => {
            seen.honest.extend(row.refuted());
            seen.row = Some(row);
        }
        Err(error) => seen.honest.push(format!("{id}: {error}")),
    }
    seen
}
