//! The expected values of a case, each with its gauge and its bound. The values come from the method crates; what is
//! here is how many roundings each output allows.

mod init;
pub(crate) mod layer;
mod merge;
mod pass;
mod projected_gradient;
mod step;
mod trajectory;

use std::sync::Arc;

use ndarray::ArrayD;

pub(crate) use init::{means, sample_shape, support};

use crate::Result;
use crate::bound::{Bound, Part, Units, bound};
use crate::case::Op;
use crate::ops::layer::Problem;

/// What is left over when a solution is put back into its equation, and how much of it is allowed.
pub type Residual = Arc<dyn Fn(&ArrayD<f64>, &Units) -> [ArrayD<f64>; 2] + Send + Sync>;

/// One expected tensor.
#[derive(Clone)]
pub struct Output {
    /// Without `out.`.
    pub name: String,
    /// In `f64`.
    pub value: ArrayD<f64>,
    /// Sums of absolute values, by term.
    pub gauges: Vec<(&'static str, ArrayD<f64>)>,
    /// How far an honest implementation may be off.
    pub bound: Bound,
    /// For the solution of a linear system.
    pub residual: Option<Residual>,
}

impl Output {
    /// An output of one or several parts, named terms of the gauge.
    fn new(name: String, value: ArrayD<f64>, parts: Vec<(&'static str, Part)>) -> Self {
        let gauges = parts.iter().map(|(term, part)| (*term, part.gauge.clone())).collect();
        let bound = bound(parts.into_iter().map(|(_, part)| part).collect());
        Self { name, value, gauges, bound, residual: None }
    }

    /// The sum of its gauges; 0 where it has none.
    pub(crate) fn gauge(&self) -> ArrayD<f64> {
        let none = ArrayD::zeros(self.value.shape());
        self.gauges.iter().fold(none, |sum, (_, gauge)| sum + gauge)
    }

    /// Stored the other way round, where the file has \[in, out\].
    fn turned(mut self) -> Self {
        let turned = crate::case::inputs::turned;
        self.value = turned(&self.value);
        self.gauges.iter_mut().for_each(|(_, gauge)| *gauge = turned(gauge));
        let bound = self.bound;
        self.bound = Arc::new(move |units| turned(&bound(units)));
        self
    }
}

/// Every output of this op.
///
/// # Errors
/// A method refuses the input.
pub(crate) fn evaluate(op: Op, problem: &Problem) -> Result<Vec<Output>> {
    match op {
        Op::Forward => Ok(vec![pass::forward(&pass::At::once(problem))?]),
        Op::Backward => pass::backward(&pass::At::once(problem)),
        Op::Step => step::lone(problem),
        Op::Trajectory => trajectory::all(problem),
        Op::Merge => merge::merge(problem, 1.0),
        Op::Unmerge => merge::merge(problem, -1.0),
        Op::Init => init::distributions(problem),
    }
}
