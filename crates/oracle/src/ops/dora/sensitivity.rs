//! How far off a length is, and what that does to an output.

use std::sync::Arc;

use ndarray::{Array1, Array2, ArrayD, Axis};

use crate::bound::constants::LENGTH;
use crate::bound::{Bound, GAUGE, Part, Roundings, Sizes, Underflow, Units, bound, largest};
use crate::error::Result;
use crate::ops::dora_formula::{Formula, Masked, lengths};
use crate::ops::output::Output;
use crate::ops::pass::Pass;
use crate::ops::problem::Problem;

/// What the gauges need: everything positive, and κ.
pub(super) struct Sensitivity {
    pub formula: Formula,
    pub direction: Array2<f64>,
    /// |W|, |s||B||A|.
    pub weight: Array2<f64>,
    pub low_rank: Array2<f64>,
    pub bias: Option<Array1<f64>>,
    /// |c|, 1/n, κ.
    pub size: Array1<f64>,
    pub inverse: Array1<f64>,
    pub condition: Array1<f64>,
    pub length: Length,
    /// What an underflow may be multiplied by, beside the factors.
    pub largest: f64,
}

/// How far off a length may be.
#[derive(Clone, Copy)]
pub(super) struct Length {
    /// The largest κ and the smallest n.
    pub condition: f64,
    pub shortest: f64,
    pub sizes: Sizes,
    pub amplification: f64,
}

impl Length {
    /// θ as it counts in the gauge `norm`, so without κ, and 1/(1 − θ); nothing where θ > ½.
    pub fn error(&self, units: &Units) -> Option<[f64; 2]> {
        let roundings = Roundings {
            accumulate: LENGTH.accumulate.of(self.sizes),
            store: LENGTH.store.of(self.sizes),
            inputs: 2,
        };
        let tiny = units.tiny_store.max(units.tiny_accumulate);
        let in_squares = (self.sizes.inputs + 1) as f64 * tiny / (self.shortest * self.shortest);
        let terms = 8.0 * (self.sizes.rank + 1) as f64 * (self.sizes.inputs as f64).sqrt();
        let in_direction = terms * tiny * self.amplification / self.shortest;
        let growth = units.growth(roundings) * GAUGE;
        let theta = growth * self.condition + in_squares + in_direction;
        // κ ≥ 1, so what underflow adds may stand beside the growth.
        (theta <= 0.5).then(|| [growth + in_squares + in_direction, 1.0 / (1.0 - theta)])
    }
}

impl Sensitivity {
    pub fn new(problem: &Problem) -> Result<Self> {
        let formula = problem.formula()?;
        let [a, b] = problem.factors()?.map(|factor| factor.mapv(f64::abs));
        let (weight, low_rank) = (formula.weight.mapv(f64::abs), b.dot(&a) * formula.scale.abs());
        let direction = formula.direction();
        let norm = lengths(&direction);
        let condition = lengths(&(&weight + &low_rank)) / &norm;
        let dims = problem.inputs.dims;
        let least = |values: &Array1<f64>| values.iter().fold(f64::INFINITY, |a, &b| a.min(b));
        let most = |values: &Array1<f64>| values.iter().fold(0.0_f64, |a, &b| a.max(b));
        let size = formula.of_low_rank.mapv(f64::abs);
        let [_, inverse] = &formula.to_magnitude;
        let inverse = inverse.mapv(f64::abs);
        let length = Length {
            condition: most(&condition),
            shortest: least(&norm),
            sizes: Sizes {
                inputs: dims.inputs,
                outputs: dims.outputs,
                rank: dims.rank,
                ..Sizes::default()
            },
            amplification: largest([&a.into_dyn(), &b.into_dyn()]) * formula.scale.abs().max(1.0),
        };
        let largest = most(&size).max(1.0) * most(&inverse).max(1.0);
        let bias = problem.inputs.vector("bias").map(|bias| bias.mapv(f64::abs));
        Ok(Self {
            direction,
            weight,
            low_rank,
            bias,
            size,
            inverse,
            condition,
            length,
            largest,
            formula,
        })
    }

    /// |c| κ.
    pub fn sensitive(&self) -> Array1<f64> {
        &self.size * &self.condition
    }

    /// The part of an output that a row of constants is about.
    pub fn part(
        &self,
        pass: &Pass<'_>,
        name: &str,
        gauge: Array2<f64>,
        terms: usize,
    ) -> Result<Part> {
        let x = pass.matrix("x")?;
        let mut term = pass.term(name, &x);
        (term.inputs, term.terms) = (5, terms);
        term.factors = &["x", "grad_y", "W", "A", "B", "m"];
        let part = pass.part(gauge.into_dyn(), term)?;
        let amplification = part.underflow.amplification * self.largest;
        Ok(Part { underflow: Underflow { amplification, ..part.underflow }, ..part })
    }

    /// An output of these terms, and of `norm`: what an error of a length may do.
    pub fn output(
        &self,
        name: String,
        value: ArrayD<f64>,
        parts: Vec<(&'static str, Part)>,
        norm: ArrayD<f64>,
    ) -> Output {
        let mut gauges: Vec<_> =
            parts.iter().map(|(term, part)| (*term, part.gauge.clone())).collect();
        gauges.push(("norm", norm.clone()));
        let of_parts = parts.into_iter().map(|(term, part)| {
            let lengths = if term == "through" { 3 } else { 1 };
            (lengths, bound(vec![part]))
        });
        let (of_parts, length) = (of_parts.collect::<Vec<(i32, Bound)>>(), self.length);
        let bound: Bound = Arc::new(move |units| {
            let [error, larger] = length.error(units).unwrap_or([f64::INFINITY; 2]);
            let times = |bound: ArrayD<f64>, factor: f64| {
                // 0 stays 0, however far off a length is.
                bound.mapv_into(|bound| if bound == 0.0 { 0.0 } else { bound * factor })
            };
            let of_length = times(norm.clone(), error * larger);
            let each = of_parts.iter().map(|(lengths, of)| times(of(units), larger.powi(*lengths)));
            each.fold(of_length, |sum, bound| sum + bound)
        });
        Output { name, value, gauges, bound, residual: None }
    }

    /// (|x| + |x̃|)|W|ᵀ + |bias|, \[tokens, out\].
    pub fn of_base(&self, masked: &Masked) -> Array2<f64> {
        let both = masked.both().dot(&self.weight.t()); // [tokens, in]·[in, out]
        match &self.bias {
            Some(bias) => both + bias,
            None => both,
        }
    }

    /// The gauges of ∂L/∂m: all, and of the length.
    pub fn of_magnitude(
        &self,
        masked: &Masked,
        g: &Array2<f64>,
        outer: &Array2<f64>,
    ) -> (Array1<f64>, Array1<f64>) {
        let u = self.of_base(masked) + masked.dropped.mapv(f64::abs).dot(&self.low_rank.t());
        let all = (g.mapv(f64::abs) * u).sum_axis(Axis(0)) * &self.inverse;
        let sums = (outer * &self.direction).sum_axis(Axis(1)).mapv(f64::abs);
        (all, sums * &self.inverse * &self.condition)
    }
}
