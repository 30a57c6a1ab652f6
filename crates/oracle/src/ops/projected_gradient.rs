//! LoRA-FA's projected gradient ĝ = (1/s²) g (A Aᵀ)⁻¹: a linear system, judged by what its solution leaves over.
//!
//! With d_i the length of row i of A, |A||A|ᵀ ≤ d dᵀ (Cauchy and Schwarz), and so is |L||Lᵀ| for the Cholesky factor of
//! A Aᵀ. The computed solution ẑ of z G = g satisfies ẑ (G + E) = g, with
//!
//! - from forming A Aᵀ: n roundings in sums, 1 stored, of d dᵀ;
//! - from the factor and the two triangular solves: γ_{3r+1} |L||Lᵀ| (Higham 2002, *Accuracy and Stability of Numerical
//!   Algorithms*, theorem 10.4), which is below (1 + u)^(3r+4) − 1 of d dᵀ as long as r ≤ 1000.
//!
//! ĝ = ẑ/s² rounds s twice (3 each), its square, the quotient, and what is stored: 9, and one for g. So the stored ĝ has
//!
//! ```text
//! |s² ĝ A Aᵀ − g| ≤ ((1 + u_a)^(n + 3r + 4) (1 + u_s)^11 − 1) · s² |ĝ| d dᵀ + E_g
//! ```
//!
//! where E_g is the bound of g itself. This covers Cholesky and other backward stable solvers, not an explicit inverse,
//! whose residual grows with the condition number of A Aᵀ.
//!
//! Where not ĝ but what follows from it is judged (a step), its own error counts. It obeys E ≤ E X + |ĝ| X + E_g |G⁻¹|/s²
//! with X = growth · d dᵀ |G⁻¹|, which is summed as a series; where that diverges the bound is infinite, and the checker
//! says that it cannot judge.
//!
//! What is allowed to be left over grows with the ĝ that was submitted. Whatever passes is off by E at most: its error obeys
//! the inequality above. Where E is infinite, as in bf16 with rows of A that are nearly dependent, a ĝ that is far
//! off along the weakest direction of A Aᵀ passes too: no residual of that format can tell it from the right one.

use std::sync::Arc;

use lora_fa::{Cholesky, Variant};
use ndarray::{Array1, Array2, ArrayD, Ix2};

use super::layer::Layer;
use super::output::Output;
use super::problem::Problem;
use crate::bound::constants::PROJECTED_GRADIENT;
use crate::bound::{Bound, Roundings, Sizes, Units};
use crate::error::{Result, wrong};

/// The linear system s² ĝ A Aᵀ = g: what the bounds need of A and s.
#[derive(Clone)]
pub(super) struct GramSystem {
    gram: Array2<f64>,
    /// |(A Aᵀ)⁻¹|.
    inverse: Array2<f64>,
    /// d.
    lengths: Array1<f64>,
    s2: f64,
    roundings: Roundings,
}

/// The system, where B follows the projected gradient.
pub(super) fn system(problem: &Problem) -> Option<GramSystem> {
    if problem.params.variant != Variant::Projected {
        return None;
    }
    let a = problem.inputs.matrix("lora_A")?;
    let (r, n) = a.dim();
    let s = problem.scale().ok()?;
    let sizes = Sizes { inputs: n, rank: r, ..Sizes::default() };
    Some(GramSystem {
        gram: a.dot(&a.t()), // [r, in]·[in, r] → [r, r]
        inverse: Cholesky::of_gram(a.view()).ok()?.solve(Array2::eye(r)).ok()?.mapv(f64::abs),
        lengths: a.outer_iter().map(|row| row.dot(&row).sqrt()).collect(),
        s2: s * s,
        roundings: Roundings {
            accumulate: PROJECTED_GRADIENT.accumulate.of(sizes),
            store: PROJECTED_GRADIENT.store.of(sizes),
            inputs: 3,
        },
    })
}

impl GramSystem {
    /// |ĝ| d dᵀ: \[out, r\].
    fn spread(&self, solution: &Array2<f64>) -> Array2<f64> {
        let d = &self.lengths;
        let weights = solution.mapv(f64::abs).dot(d); // [out, r]·[r] → [out]
        Array2::from_shape_fn(solution.dim(), |(i, j)| weights[i] * d[j])
    }

    /// The projected gradient, its residual and its own error.
    pub fn output(&self, name: String, layer: &Layer, gradient: Output) -> Result<Output> {
        let value = layer.direction(&gradient.value)?;
        let solution = matrix(&value)?;
        let gauge = self.spread(&solution) * self.s2 + matrix(&gradient.gauge())?;
        let (this, g, of_g) = (self.clone(), matrix(&gradient.value)?, gradient.bound.clone());
        let residual = move |got: &ArrayD<f64>, units: &Units| {
            let Ok(got) = matrix(got) else { return [got.clone(), ArrayD::zeros(got.shape())] };
            let left = (got.dot(&this.gram) * this.s2 - &g).mapv(f64::abs); // [out, r]·[r, r]
            let growth = units.growth(this.roundings);
            let allowed =
                this.spread(&got) * (growth * this.s2) + matrix(&of_g(units)).unwrap_or_default();
            [left.into_dyn(), allowed.into_dyn()]
        };
        Ok(Output {
            name,
            bound: self.error(value.clone(), gradient.bound),
            value,
            gauges: vec![("all", gauge.into_dyn())],
            residual: Some(Arc::new(residual)),
        })
    }

    /// The error of ĝ when g has the error `of_g`.
    pub fn error(&self, solution: ArrayD<f64>, of_g: Bound) -> Bound {
        let this = self.clone();
        Arc::new(move |units| {
            let (Ok(z), Ok(of_g)) = (matrix(&solution), matrix(&of_g(units))) else {
                return ArrayD::from_elem(solution.shape(), f64::INFINITY);
            };
            let growth = units.growth(this.roundings);
            let spread = |error: &Array2<f64>| this.spread(error).dot(&this.inverse) * growth;
            // E = c + c X + c X² + …, with c = |ĝ| X + E_g |G⁻¹|/s².
            let mut term = spread(&z) + of_g.dot(&this.inverse) / this.s2;
            let mut sum = term.clone();
            for _ in 0..200 {
                term = spread(&term);
                sum += &term;
                if sum.iter().zip(&term).all(|(sum, term)| *term <= sum * 1e-9) {
                    return (sum * (1.0 + 1e-6)).into_dyn();
                }
            }
            ArrayD::from_elem(solution.shape(), f64::INFINITY)
        })
    }
}

fn matrix(array: &ArrayD<f64>) -> Result<Array2<f64>> {
    array.clone().into_dimensionality::<Ix2>().map_err(wrong)
}
