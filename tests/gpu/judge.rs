//! The verdict on what a device made of a case.

use cuda::Kind;
use oracle::{Case, Op, Options, Profile, Report, TensorFile, Verdict, check};

/// What came of one case.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Whether all is within its bounds; `None` where the oracle does not judge it.
    pub passed: Option<bool>,
    /// The largest error in units of its bound, ∞ for a NaN, and where.
    pub worst: Option<(f64, String)>,
    /// What is wrong: where, what the device has, what is expected, and the bound.
    pub line: String,
}

/// The units that a case on a device is judged by. What a step changes is kept in masters, whatever products are made of.
pub fn profile(kind: Kind, op: Op) -> Profile {
    match (kind, op) {
        (Kind::F64, _) => Profile::F64,
        (Kind::F32, _) | (_, Op::Step) => Profile::F32,
        (Kind::Tf32, _) => Profile::Tf32,
        (Kind::Bf16, _) => Profile::Bf16,
    }
}

fn options(kind: Kind, op: Op) -> Options {
    Options { profile: Some(profile(kind, op)) }
}

/// Judge a shipped case, as anybody's.
///
/// # Panics
/// It is no case.
pub fn judge_shipped(kind: Kind, file: &TensorFile, submission: &TensorFile) -> Judged {
    let case = Case::of(file).expect("a case");
    let report = check(file, Some(submission), options(kind, case.op));
    judged(&report.expect("a case that can be judged"))
}

/// What a case with random inputs gives in f64, computed once for all kinds of elements, and judged by without the search
/// for the mistake, which computes a failing case a hundred times.
pub struct Truth {
    op: Op,
    truth: oracle::Truth,
}

impl Truth {
    /// Of a case that [`random_case`](super::random_case) made.
    ///
    /// # Panics
    /// It is no such case.
    pub fn of(file: &TensorFile) -> Self {
        let op = Case::of(file).expect("a case").op;
        Self { op, truth: oracle::Truth::of(file).expect("a case whose inputs fit together") }
    }

    /// Judge what a device made of it.
    pub fn judge(&self, kind: Kind, submission: &TensorFile) -> Judged {
        judged(&self.truth.judge(submission, options(kind, self.op)))
    }
}

fn judged(report: &Report) -> Judged {
    let passed = match report.verdict {
        Verdict::Pass => Some(true),
        Verdict::Fail => Some(false),
        Verdict::NotRun => None,
    };
    let worst = report.findings.iter().max_by(|a, b| a.rho.total_cmp(&b.rho));
    let worst = worst.map(|finding| (finding.rho, format!("{} {}", report.case, finding.tensor)));
    Judged { passed, worst, line: describe(report) }
}

fn describe(report: &Report) -> String {
    let Some(finding) = report.divergence() else { return report.case.clone() };
    let (case, tensor) = (&report.case, &finding.tensor);
    match &finding.worst {
        Some(oracle::Worst { index, got, want, bound }) => {
            format!("{case} {tensor} at {index:?}: got {got:e}, want {want:e}, bound {bound:e}")
        }
        None => format!("{case} {tensor} {}", finding.note.clone().unwrap_or_default()),
    }
}
