//! The products of a run with its frozen weights and nothing else: no implementation can leave them out.

use std::collections::BTreeMap;
use std::hint::black_box;

use adapter::{Real, parallel};
use ndarray::{Array2, ArrayView2};

/// Computes y = x Wᵀ and ∂L/∂x = ∂L/∂y W. Weights of one width share their input.
pub struct Floor<T> {
    tokens: usize,
    /// \[tokens, width\], by width.
    left: BTreeMap<usize, Array2<T>>,
}

impl<T: Real> Floor<T> {
    /// For inputs of `tokens` rows.
    pub fn new(tokens: usize) -> Self {
        Self { tokens, left: BTreeMap::new() }
    }

    /// x Wᵀ: \[tokens, in\]·\[in, out\] → \[tokens, out\].
    pub fn forward(&mut self, weight: &Array2<T>) {
        self.multiply(weight.t());
    }

    /// ∂L/∂y W: \[tokens, out\]·\[out, in\] → \[tokens, in\].
    pub fn backward(&mut self, weight: &Array2<T>) {
        self.multiply(weight.view());
    }

    fn multiply(&mut self, right: ArrayView2<'_, T>) {
        let inner = right.nrows();
        let left = self.left.entry(inner).or_insert_with(|| Array2::ones((self.tokens, inner)));
        black_box(parallel::multiply(left.view(), right));
    }
}
