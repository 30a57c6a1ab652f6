//! What is tested, and how it ended.

use std::path::PathBuf;

use super::confusion::Confusion;
use super::matrix::CaseRow;
use crate::case::{Method, Op};

/// What to test.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of the cases, with `index.json`.
    pub vectors: PathBuf,
    /// `generate.py`. By default it is looked for beside the vectors, in the repository.
    pub generator: Option<PathBuf>,
    /// Leave the generator out.
    pub no_generator: bool,
    /// Only these methods; all if empty.
    pub methods: Vec<Method>,
    /// Only these ops; all if empty.
    pub ops: Vec<Op>,
}

impl Settings {
    /// Is this method in this op to be tested?
    pub(super) fn include(&self, method: Method, op: Op) -> bool {
        (self.methods.is_empty() || self.methods.contains(&method))
            && (self.ops.is_empty() || self.ops.contains(&op))
    }

    /// Neither a method nor an op was chosen.
    pub fn everything(&self) -> bool {
        self.methods.is_empty() && self.ops.is_empty()
    }
}

/// How a part of the test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was shown.
    Passed(String),
    /// Each thing that is wrong, in a line.
    Failed(Vec<String>),
    /// Why it did not run.
    Skipped(String),
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct SelfTest {
    /// The six parts, by name.
    pub parts: [(&'static str, Outcome); 6],
    /// A row for each case that could be judged, sorted by id.
    pub matrix: Vec<CaseRow>,
    /// What is said of whole submissions whose mistake is known.
    pub confusion: Vec<Confusion>,
}

impl SelfTest {
    /// Did every part that ran pass?
    pub fn passed(&self) -> bool {
        !self.parts.iter().any(|(_, outcome)| matches!(outcome, Outcome::Failed(_)))
    }
}
