//! What AdamW computes with at one update.

use adapter::AdamVariant;

use crate::case::Params;

/// β₁, β₂ and what follows from them at this update, as the bounds need them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamConstants {
    pub betas: (f64, f64),
    pub eps: f64,
    /// Does ε stand inside the root? It never does, but by mistake.
    pub eps_in_root: bool,
    /// η.
    pub lr: f64,
    /// t.
    pub t: f64,
    /// 1 − β₁ᵗ and 1 − β₂ᵗ.
    pub biases: [f64; 2],
    /// η/(1 − β₁ᵗ), times √(1 − β₂ᵗ) for hf.
    pub rate: f64,
    /// √(1 − β₂ᵗ) for torch, 1 for hf.
    pub root_bias: f64,
    pub decay_last: bool,
    /// What a unit of rounding becomes in 1 − β₁ᵗ and 1 − β₂ᵗ, which cancel.
    pub bias_roundings: [f64; 2],
}

impl AdamConstants {
    /// `None` for SGD.
    pub fn new(params: &Params, lr: f64) -> Option<Self> {
        let (variant, betas, eps) = params.optimizer.adamw?;
        let mut constants = Self {
            betas,
            eps,
            eps_in_root: false,
            lr,
            t: 0.0,
            biases: [0.0; 2],
            rate: 0.0,
            root_bias: 1.0,
            decay_last: variant == AdamVariant::Hf,
            bias_roundings: [0.0; 2],
        };
        constants.at((params.start + 1) as f64);
        Some(constants)
    }

    /// With the bias corrections of update t.
    pub fn at(&mut self, t: f64) {
        self.t = t;
        self.biases = [self.betas.0, self.betas.1].map(|beta| 1.0 - beta.powf(t));
        let [bias1, bias2] = self.biases;
        (self.rate, self.root_bias) = match self.decay_last {
            true => (self.lr * bias2.sqrt() / bias1, 1.0),
            false => (self.lr / bias1, bias2.sqrt()),
        };
        // βᵗ goes through t roundings of β, and t − 1 of products or two of a `pow`; 1 − βᵗ cancels.
        self.bias_roundings = self.biases.map(|bias| (2.0 * t + 1.0) * (1.0 - bias) / bias);
    }

    /// What m is divided by.
    pub fn denominator(&self, v: f64) -> f64 {
        let v = v.max(0.0);
        match self.eps_in_root {
            true => (v / (self.root_bias * self.root_bias) + self.eps).sqrt(),
            false => v.sqrt() / self.root_bias + self.eps,
        }
    }
}
