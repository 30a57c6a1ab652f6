//! The GPU path under the oracle: cases run on a device, and judged like anybody's.
//!
//! Generic over the device, so that the same checks run on the emulation (`tests/gpu_emulated.rs`) and on a GPU (the program
//! `gpu-check`, benches/gpu).

mod judge;
mod layer;
mod random;
mod real;
mod run;
mod sequence;

use std::collections::BTreeMap;

use cuda::{Device, Element, Error};
use oracle::{Method, TensorFile};

pub use judge::{Judged, Truth, judge_shipped, profile};
pub use layer::Layer;
pub use random::{SHAPES, random_case};
pub use real::{real_layer, real_truth};
pub use run::{Outcome, submit};
pub use sequence::{Training, dropout_case, graph_is_eager, steady_memory, training};

/// The methods that have a GPU path.
pub const METHODS: [Method; 5] =
    [Method::Lora, Method::LoraFa, Method::Vera, Method::DeltaLora, Method::LoraPlus];

/// What came of a set of cases.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Within their bounds.
    pub passed: usize,
    /// A line for each case that is not.
    pub failed: Vec<String>,
    /// What a GPU path does not do, by reason.
    pub left_out: BTreeMap<&'static str, usize>,
    /// The largest error in units of its bound, and where.
    pub worst: Option<(f64, String)>,
}

impl Tally {
    /// Run a shipped case on a device and judge it.
    ///
    /// # Errors
    /// The device fails, other than by refusing the case.
    pub fn case<T: Element, D: Device>(
        &mut self,
        device: &D,
        file: &TensorFile,
    ) -> Result<(), Error> {
        match submit::<T, D>(device, file)? {
            Outcome::Submission(made) => self.add(judge_shipped(T::KIND, file, &made)),
            Outcome::LeftOut(why) => self.leave_out(why),
        }
        Ok(())
    }

    /// Count a case that was judged.
    pub fn add(&mut self, judged: Judged) {
        if let Some((rho, at)) = judged.worst
            && self.worst.as_ref().is_none_or(|(worst, _)| rho > *worst)
        {
            self.worst = Some((rho, at));
        }
        match judged.passed {
            Some(true) => self.passed += 1,
            Some(false) => self.failed.push(judged.line),
            None => self.leave_out("the oracle does not judge it"),
        }
    }

    /// Count a case that is not for a GPU path.
    pub fn leave_out(&mut self, why: &'static str) {
        *self.left_out.entry(why).or_default() += 1;
    }
}
