//! SVD and the best approximation.

use ndarray::{Array1, Array2, ArrayView2, Axis};

// ANCHOR: leading
/// (σ₁, u₁, v₁) by `iterations` rounds of power iteration: v ← AᵀA v, brought back to length 1. Of a matrix of zeros σ₁ is 0.
pub fn leading(matrix: ArrayView2<'_, f64>, iterations: usize) -> (f64, Array1<f64>, Array1<f64>) {
    let unit = |v: Array1<f64>| {
        let length = v.dot(&v).sqrt();
        // Zero has no direction.
        (if length > 0.0 { v / length } else { v }, length)
    };
    // Any start will do that is not at right angles to v₁.
    let start = Array1::from_shape_fn(matrix.ncols(), |i| 1.0 + 0.1 * (i as f64).sin());
    let (mut v, _) = unit(start);
    for _ in 0..iterations {
        (v, _) = unit(matrix.t().dot(&matrix.dot(&v)));
    }
    let (u, sigma) = unit(matrix.dot(&v)); // A v₁ = σ₁ u₁
    (sigma, u, v)
}
// ANCHOR_END: leading

// ANCHOR: rank_needed
/// The smallest rank whose best approximation is off by at most `error` of the whole, in the Frobenius norm. `sigma` is
/// sorted, largest first.
pub fn rank_needed(sigma: &[f64], error: f64) -> usize {
    let squares = |sigma: &[f64]| sigma.iter().map(|s| s * s).sum::<f64>();
    let allowed = error * error * squares(sigma);
    (0..sigma.len()).find(|&k| squares(&sigma[k..]) <= allowed).unwrap_or(sigma.len())
}
// ANCHOR_END: rank_needed

// ANCHOR: best
/// The best approximation of rank k, by finding the largest triplet, subtracting it, and beginning again. Nothing may be left
/// before k are found.
pub fn best(matrix: ArrayView2<'_, f64>, k: usize, iterations: usize) -> Array2<f64> {
    let mut sum = Array2::zeros(matrix.dim());
    for _ in 0..k {
        // What is left has σ₂, σ₃, … as its singular values: the first is gone.
        let (sigma, u, v) = leading((&matrix - &sum).view(), iterations);
        sum += &(u.insert_axis(Axis(1)).dot(&v.insert_axis(Axis(0))) * sigma);
    }
    sum
}
// ANCHOR_END: best

// ANCHOR: similarity
/// φ of two subspaces, given by orthonormal columns: between 0, at right angles, and 1, one inside the other.
pub fn similarity(u: ArrayView2<'_, f64>, v: ArrayView2<'_, f64>) -> f64 {
    let cosines = u.t().dot(&v); // [i, D]·[D, j] → [i, j]
    let squares: f64 = cosines.iter().map(|c| c * c).sum();
    squares / u.ncols().min(v.ncols()) as f64
}
// ANCHOR_END: similarity
