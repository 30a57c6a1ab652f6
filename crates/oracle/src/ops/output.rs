//! An expected tensor with its gauge and its bound.

use std::sync::Arc;

use ndarray::ArrayD;

use crate::bound::{Bound, Part, Units, bound, remembered};
use crate::case::transposed;

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
    pub(super) fn new(name: String, value: ArrayD<f64>, parts: Vec<(&'static str, Part)>) -> Self {
        let gauges = parts.iter().map(|(term, part)| (*term, part.gauge.clone())).collect();
        let bound = bound(parts.into_iter().map(|(_, part)| part).collect());
        Self { name, value, gauges, bound, residual: None }
    }

    /// The same, with a bound that is computed once for each units.
    pub(super) fn remembered(self) -> Self {
        Self { bound: remembered(self.bound), ..self }
    }

    /// The sum of its gauges; 0 where it has none.
    pub(crate) fn gauge(&self) -> ArrayD<f64> {
        let none = ArrayD::zeros(self.value.shape());
        self.gauges.iter().fold(none, |sum, (_, gauge)| sum + gauge)
    }

    /// The output of a weight that is stored \[in, out\].
    pub(super) fn transposed(mut self) -> Self {
        self.value = transposed(&self.value);
        self.gauges.iter_mut().for_each(|(_, gauge)| *gauge = transposed(gauge));
        let bound = self.bound;
        self.bound = Arc::new(move |units| transposed(&bound(units)));
        self
    }
}
