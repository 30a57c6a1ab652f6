//! The GPU path under the oracle: cases run on a device, and judged like anybody's.
//!
//! Generic over the device, so that the same checks run on the emulation (`tests/gpu_emulated.rs`) and on a GPU (the binary
//! `gpu-check`).

mod layer;
mod random;
mod run;
mod sequence;

use cuda::{Device, Element, Error, Kind};
use oracle::{Op, Options, Profile, Report, TensorFile, Verdict, check};

pub use layer::Layer;
pub use random::{SHAPES, random_case};
pub use run::{Outcome, submit};
pub use sequence::{Training, dropout_case, steady_memory, training};

/// What came of a set of cases.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Within their bounds.
    pub passed: usize,
    /// The reports of those that are not.
    pub failed: Vec<Report>,
    /// What a GPU path does not do, by reason.
    pub left_out: std::collections::BTreeMap<&'static str, usize>,
    /// The largest error in units of its bound, and where.
    pub worst: Option<(f64, String)>,
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

impl Tally {
    /// Run a case on a device and judge it.
    ///
    /// # Errors
    /// The device fails, other than by refusing the case.
    pub fn case<T: Element, D: Device>(
        &mut self,
        device: &D,
        file: &TensorFile,
    ) -> Result<(), Error> {
        let submission = match submit::<T, D>(device, file)? {
            Outcome::Submission(submission) => submission,
            Outcome::LeftOut(why) => {
                *self.left_out.entry(why).or_default() += 1;
                return Ok(());
            }
        };
        self.judge::<T>(file, &submission);
        Ok(())
    }

    /// Judge what a device made of a case.
    pub fn judge<T: Element>(&mut self, file: &TensorFile, submission: &TensorFile) {
        let case = oracle::Case::of(file).expect("a case");
        let options = Options { profile: Some(profile(T::KIND, case.op)) };
        let report = check(file, Some(submission), options).expect("a case that can be judged");
        for finding in &report.findings {
            // A NaN must not hide.
            if !self.worst.as_ref().is_some_and(|(worst, _)| finding.rho <= *worst) {
                self.worst = Some((finding.rho, format!("{} {}", report.case, finding.tensor)));
            }
        }
        match report.verdict {
            Verdict::Pass => self.passed += 1,
            Verdict::Fail => self.failed.push(report),
            Verdict::NotRun => {
                *self.left_out.entry("the oracle does not judge it").or_default() += 1;
            }
        }
    }
}
