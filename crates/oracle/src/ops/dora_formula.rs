//! What y and the gradients of DoRA are made of, for the gauges, and for mistakes: right values come from its crate.

use ndarray::{Array1, Array2, Axis};

use crate::ops::layer::{BackwardPass, Named};

/// What y and the gradients are made of. A mutant changes it.
#[derive(Clone)]
pub(crate) struct Formula {
    /// W and s B A, \[out, in\].
    pub weight: Array2<f64>,
    pub low_rank: Array2<f64>,
    /// s, without which s B A is B A.
    pub scale: f64,
    /// m, \[out\].
    pub magnitude: Array1<f64>,
    /// x̃ Wᵀ is multiplied by this: c − 1.
    pub of_weight: Array1<f64>,
    /// And s x̃ Aᵀ Bᵀ by this: c.
    pub of_low_rank: Array1<f64>,
    /// c in the gradients of A and B.
    pub back: Array1<f64>,
    /// What ∂L/∂m multiplies Σ g ⊙ x̃ Wᵀ and Σ g ⊙ s x̃ Aᵀ Bᵀ by: 1/n.
    pub to_magnitude: [Array1<f64>; 2],
    /// Is it x̃ that W's second term has, and not x?
    pub masks_weight: bool,
}

impl Formula {
    /// Of W, A, B, s and m, without a mistake.
    pub fn new(
        weight: Array2<f64>,
        [a, b]: &[Array2<f64>; 2],
        scale: f64,
        magnitude: Array1<f64>,
    ) -> Self {
        let low_rank = b.dot(a) * scale; // [out, r]·[r, in] → [out, in]
        let ones = Array1::ones(magnitude.len());
        let mut formula = Self {
            of_weight: ones.clone(),
            of_low_rank: ones.clone(),
            back: ones.clone(),
            to_magnitude: [ones.clone(), ones],
            masks_weight: true,
            weight,
            low_rank,
            scale,
            magnitude,
        };
        formula.divide_by(lengths(&formula.direction()));
        formula
    }

    /// V.
    pub fn direction(&self) -> Array2<f64> {
        &self.weight + &self.low_rank
    }

    /// Take these for the lengths of V's rows.
    pub fn divide_by(&mut self, lengths: Array1<f64>) {
        let c = &self.magnitude / &lengths;
        self.of_weight = &c - 1.0;
        self.of_low_rank.clone_from(&c);
        self.back = c;
        let inverse = lengths.recip();
        self.to_magnitude = [inverse.clone(), inverse];
    }

    /// (1 + of_weight) ⊙ W + of_low_rank ⊙ s B A.
    pub(super) fn merged(&self) -> Array2<f64> {
        rows(&(&self.of_weight + 1.0), &self.weight) + rows(&self.of_low_rank, &self.low_rank)
    }

    pub(super) fn y(&self, masked: &Masked) -> Array2<f64> {
        let second = if self.masks_weight { &masked.dropped } else { &masked.x };
        masked.x.dot(&self.weight.t())
            + second.dot(&self.weight.t()) * &self.of_weight
            + masked.dropped.dot(&self.low_rank.t()) * &self.of_low_rank
    }

    pub(super) fn backward(
        &self,
        masked: &Masked,
        [a, b]: &[Array2<f64>; 2],
        g: &Array2<f64>,
    ) -> BackwardPass {
        let second = if self.masks_weight { &masked.dropped } else { &masked.x };
        let into_weight = (g * &self.of_weight).dot(&self.weight); // [tokens, out]·[out, in]
        let into_low_rank = (g * &self.of_low_rank).dot(&self.low_rank);
        let grad_x = g.dot(&self.weight)
            + into_low_rank * &masked.keep
            + if self.masks_weight { into_weight * &masked.keep } else { into_weight };
        let (outer, of_second) = (g.t().dot(&masked.dropped), g.t().dot(second)); // [out, tokens]·[tokens, in]
        let into = rows(&self.back, &outer) * self.scale;
        let [of_weight, of_low_rank] = &self.to_magnitude;
        let magnitude = (of_second * &self.weight).sum_axis(Axis(1)) * of_weight
            + (outer * &self.low_rank).sum_axis(Axis(1)) * of_low_rank;
        let gradients = Named::from([
            ("lora_A".to_owned(), b.t().dot(&into).into_dyn()), // [r, out]·[out, in] → [r, in]
            ("lora_B".to_owned(), into.dot(&a.t()).into_dyn()), // [out, in]·[in, r] → [out, r]
            ("lora_magnitude_vector".to_owned(), magnitude.into_dyn()),
        ]);
        BackwardPass { y: self.y(masked), grad_x, gradients }
    }
}

/// x, x̃ and what is between them.
pub(super) struct Masked {
    pub x: Array2<f64>,
    pub dropped: Array2<f64>,
    /// mask/(1 − p), or 1.
    pub keep: Array2<f64>,
}

impl Masked {
    /// |x| + |x̃|.
    pub fn both(&self) -> Array2<f64> {
        self.x.mapv(f64::abs) + self.dropped.mapv(f64::abs)
    }
}

/// The length of each row.
pub(crate) fn lengths(matrix: &Array2<f64>) -> Array1<f64> {
    matrix.map_axis(Axis(1), |row| row.dot(&row).sqrt())
}

/// Each row times its factor.
pub(super) fn rows(factors: &Array1<f64>, matrix: &Array2<f64>) -> Array2<f64> {
    matrix * &factors.view().insert_axis(Axis(1))
}
