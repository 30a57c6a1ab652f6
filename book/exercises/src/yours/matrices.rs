//! Weights are matrices.

use std::ops::Range;

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

/// The rows of `k_proj` that query head `head` compares itself with.
pub fn key_rows(config: &Config, head: usize) -> Range<usize> {
    todo!()
}

/// One weight that does what two do one after the other, with nothing in between: `first` \[hidden, in\], then `second`
/// \[out, hidden\].
pub fn fold(first: ArrayView2<'_, f64>, second: ArrayView2<'_, f64>) -> Array2<f64> {
    todo!()
}
