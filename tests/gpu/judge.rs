//! The verdict on what a device made of a case.

use cuda::Kind;
use oracle::{Case, Op, Options, Output, Profile, Report, TensorFile, Verdict, check, outputs};

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

/// Judge a shipped case, as anybody's.
///
/// # Panics
/// It is no case.
pub fn judge_shipped(kind: Kind, file: &TensorFile, submission: &TensorFile) -> Judged {
    let case = Case::of(file).expect("a case");
    let options = Options { profile: Some(profile(kind, case.op)) };
    let report = check(file, Some(submission), options).expect("a case that can be judged");
    let passed = match report.verdict {
        Verdict::Pass => Some(true),
        Verdict::Fail => Some(false),
        Verdict::NotRun => None,
    };
    let rhos = report.findings.iter().map(|finding| (finding.rho, finding.tensor.as_str()));
    Judged { passed, worst: worst(&report.case, rhos), line: describe(&report) }
}

fn describe(report: &Report) -> String {
    let Some(finding) = report.divergence() else { return report.case.clone() };
    let note = finding.note.clone().unwrap_or_default();
    match &finding.worst {
        Some(at) => line(&report.case, &finding.tensor, &at.index, at.got, at.want, at.bound),
        None => format!("{} {} {note}", report.case, finding.tensor),
    }
}

fn line(case: &str, tensor: &str, at: &[usize], got: f64, want: f64, bound: f64) -> String {
    format!("{case} {tensor} at {at:?}: got {got:e}, want {want:e}, bound {bound:e}")
}

fn worst<'a>(case: &str, rhos: impl Iterator<Item = (f64, &'a str)>) -> Option<(f64, String)> {
    let mut worst: Option<(f64, &str)> = None;
    for (rho, tensor) in rhos {
        if worst.is_none_or(|(most, _)| rho > most) {
            worst = Some((rho, tensor));
        }
    }
    worst.map(|(rho, tensor)| (rho, format!("{case} {tensor}")))
}

/// What a case with random inputs gives in f64, computed once for all kinds of elements.
///
/// The oracle's values and bounds without its search for the mistake, which computes a failing case a hundred times.
pub struct Truth {
    case: String,
    op: Op,
    outputs: Vec<Output>,
}

impl Truth {
    /// Of a case that [`random_case`](super::random_case) made: its inputs have so few bits that every kind holds them.
    ///
    /// # Panics
    /// It is no such case.
    pub fn of(file: &TensorFile) -> Self {
        let case = Case::of(file).expect("a case");
        let outputs = outputs(&case, file).expect("a case whose inputs fit together");
        Self { case: case.id.clone().expect("a case with an id"), op: case.op, outputs }
    }

    /// Judge what a device made of it.
    pub fn judge(&self, kind: Kind, submission: &TensorFile) -> Judged {
        let units = profile(kind, self.op).units(false);
        let exact = Profile::F64.units(false);
        let (mut rhos, mut first) = (Vec::new(), None);
        for output in &self.outputs {
            let name = &output.name;
            let got = submission.tensors.get(&format!("out.{name}"));
            let got = got.and_then(|tensor| tensor.to_f64().ok());
            let Some(got) = got.filter(|got| got.shape() == output.value.shape()) else {
                first.get_or_insert(format!("{} {name} is missing or misshapen", self.case));
                rhos.push((f64::INFINITY, name.as_str()));
                continue;
            };
            let bound = (output.bound)(&units) + (output.bound)(&exact);
            let mut most = 0.0;
            for (((at, &got), &want), &bound) in got.indexed_iter().zip(&output.value).zip(&bound) {
                let off = if got == want { 0.0 } else { (got - want).abs() / bound };
                // A NaN would give way to the next number.
                let rho = if off.is_nan() { f64::INFINITY } else { off };
                if rho > 1.0 && first.is_none() {
                    let at = ndarray::Dimension::slice(&at);
                    first = Some(line(&self.case, name, at, got, want, bound));
                }
                most = f64::max(most, rho);
            }
            rhos.push((most, name.as_str()));
        }
        let worst = worst(&self.case, rhos.into_iter());
        Judged { passed: Some(first.is_none()), worst, line: first.unwrap_or_default() }
    }
}
