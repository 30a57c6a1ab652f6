//! Weights are matrices.

use llama::Config;
use ndarray::{Array2, ArrayView2};

/// y = x Wᵀ with three loops: `weight` \[out, in\], `x` \[tokens, in\] → \[tokens, out\].
pub fn linear(weight: ArrayView2<'_, f64>, x: ArrayView2<'_, f64>) -> Array2<f64> {
    todo!()
}

/// How many numbers a Llama-architecture model of this configuration has.
pub fn parameters(config: &Config) -> usize {
    todo!()
}
