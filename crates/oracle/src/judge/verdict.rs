//! The verdict: on a tensor, and on a case.

use std::fmt;

use crate::bound::Profile;
use crate::case::Rule;
use crate::diagnosis::Evidence;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every element is within its bound.
    Pass,
    /// One is not, or a tensor is missing or has another shape.
    Fail,
    /// There is no submission, or nothing can be said.
    NotRun,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::NotRun => "NOT_RUN",
        })
    }
}

/// The verdict on one tensor.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Without `out.`.
    pub tensor: String,
    /// What came of it.
    pub verdict: Verdict,
    /// The largest |got − want|/bound: at most 1 passes, except where elements must be equal.
    pub rho: f64,
    /// ρ with √k in the place of k roundings. Not judged by.
    pub rho_sqrt: f64,
    /// Where that is, and the numbers there.
    pub worst: Option<Worst>,
    /// The units it was judged by.
    pub profile: Option<Profile>,
    /// What numbers cannot say.
    pub note: Option<String>,
}

/// The element furthest off.
#[derive(Clone, Debug)]
pub struct Worst {
    /// Its index.
    pub index: Vec<usize>,
    /// What the submission has.
    pub got: f64,
    /// What is expected.
    pub want: f64,
    /// What it may be off.
    pub bound: f64,
}

/// The verdict on one case.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its id.
    pub case: String,
    /// Its flags.
    pub flags: Vec<String>,
    /// What came of it.
    pub verdict: Verdict,
    /// Each expected tensor, in the order it is computed in: the first that fails is where it goes wrong.
    pub findings: Vec<Finding>,
    /// The mistake that the diagnosis names for these numbers, or else what the wrong ones have in common.
    pub hypothesis: Option<String>,
    /// Of the case.
    pub digest: String,
    /// What is odd and not judged.
    pub warnings: Vec<String>,
    /// How many numbers are expected.
    pub size: usize,
    /// Which update it makes.
    pub(crate) rule: Option<Rule>,
    /// What it says of each mistake, where it fails.
    pub(crate) evidence: Option<Evidence>,
}

impl Finding {
    /// A verdict that has other reasons than numbers.
    pub(super) fn without_numbers(tensor: &str, verdict: Verdict, note: String) -> Self {
        let rho = if verdict == Verdict::Fail { f64::INFINITY } else { 0.0 };
        let tensor = tensor.to_owned();
        Self { tensor, verdict, rho, rho_sqrt: rho, worst: None, profile: None, note: Some(note) }
    }
}

impl Report {
    /// Was there a submission for it?
    pub fn submitted(&self) -> bool {
        !self.findings.is_empty()
    }

    /// The first tensor that fails: those before it are right, so this is where it goes wrong.
    pub fn divergence(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.verdict == Verdict::Fail)
    }
}
