//! What comes back through a length that is not held constant.

use ndarray::{Array1, Array2, Axis};

use super::sensitivity::Sensitivity;
use crate::error::Result;
use crate::ops::dora_formula::{Masked, rows};
use crate::ops::layer::Named;
use crate::ops::problem::Problem;

/// What comes back through a length that is not held constant: M = −c ∂L/∂m ⊙ V/n.
pub(super) struct Through {
    /// −c Σ g ⊙ u/n².
    pub factors: Array1<f64>,
    /// Of the rows of V: 7 κ |factor|, and everything positive.
    pub sensitive: Array1<f64>,
    pub gauge: Array2<f64>,
}

impl Through {
    pub fn new(of: &Sensitivity, masked: &Masked, g: &Array2<f64>, outer: &Array2<f64>) -> Self {
        let (all, _) = of.of_magnitude(masked, g, outer);
        let sums = (outer * &of.direction).sum_axis(Axis(1));
        let factors = -&of.formula.back * sums * &of.inverse * &of.inverse;
        let sensitive = factors.mapv(f64::abs) * &of.condition * 7.0;
        let gauge = rows(&(&of.size * all * &of.inverse), &(&of.weight + &of.low_rank));
        Self { factors, sensitive, gauge }
    }

    /// Adds s Bᵀ M and s M Aᵀ.
    pub fn add(&self, problem: &Problem, of: &Sensitivity, gradients: &mut Named) -> Result<()> {
        let [_, b] = problem.factors()?;
        let m = rows(&self.factors, &of.direction);
        let of_a = (b.t().dot(&m) * of.formula.scale).into_dyn(); // [r, out]·[out, in] → [r, in]
        let of_b = to_b(problem, &m)?.into_dyn();
        for (name, more) in [("lora_A", of_a), ("lora_B", of_b)] {
            if let Some(gradient) = gradients.get_mut(name) {
                *gradient += &more;
            }
        }
        Ok(())
    }
}

/// s M Aᵀ.
pub(super) fn to_b(problem: &Problem, into: &Array2<f64>) -> Result<Array2<f64>> {
    let [a, _] = problem.factors()?;
    Ok(into.dot(&a.t()) * problem.scale()?) // [out, in]·[in, r] → [out, r]
}
