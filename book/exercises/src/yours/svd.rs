//! SVD and the best approximation.

use ndarray::{Array1, Array2, ArrayView2};

/// (σ₁, u₁, v₁) by `iterations` rounds of power iteration: v ← AᵀA v, brought back to length 1. Of a matrix of zeros σ₁ is 0.
pub fn leading(matrix: ArrayView2<'_, f64>, iterations: usize) -> (f64, Array1<f64>, Array1<f64>) {
    todo!()
}

/// The smallest rank whose best approximation is off by at most `error` of the whole, in the Frobenius norm. `sigma` is
/// sorted, largest first.
pub fn rank_needed(sigma: &[f64], error: f64) -> usize {
    todo!()
}

/// The best approximation of rank k, by finding the largest triplet, subtracting it, and beginning again. Nothing may be left
/// before k are found.
pub fn best(matrix: ArrayView2<'_, f64>, k: usize, iterations: usize) -> Array2<f64> {
    todo!()
}

/// φ of two subspaces, given by orthonormal columns: between 0, at right angles, and 1, one inside the other.
pub fn similarity(u: ArrayView2<'_, f64>, v: ArrayView2<'_, f64>) -> f64 {
    todo!()
}
