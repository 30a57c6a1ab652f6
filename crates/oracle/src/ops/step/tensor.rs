//! The update of one tensor: what went into it, and what came out.

use ndarray::ArrayD;

use crate::bound::Bound;
use crate::case::Method;
use crate::ops::problem::Problem;

/// A gradient as the optimiser gets it.
#[derive(Clone)]
pub(in crate::ops) struct Gradient {
    pub value: ArrayD<f64>,
    /// ≥ |g|.
    pub gauge: ArrayD<f64>,
    /// E_g.
    pub error: Bound,
}

/// One tensor's update.
pub(super) struct TensorUpdate<'a> {
    pub before: &'a Problem,
    pub after: &'a Problem,
    pub name: &'a str,
    pub gradient: &'a Gradient,
}

impl TensorUpdate<'_> {
    /// The tensor itself, or the moment with this prefix, in one of the two; 0 where it is not there.
    pub fn get(&self, problem: &Problem, prefix: &str) -> ArrayD<f64> {
        let found = problem.inputs.get(&format!("{prefix}{}", self.name)).cloned();
        found.unwrap_or_else(|| ArrayD::zeros(self.gradient.value.shape()))
    }

    /// L.
    pub fn rate_roundings(&self) -> usize {
        if self.before.method == Method::LoraPlus && self.name == "lora_B" { 3 } else { 1 }
    }
}
