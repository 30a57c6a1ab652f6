//! SVD and the best approximation.

use ndarray::{Array1, ArrayView2};

// ANCHOR: leading
/// (σ₁, u₁, v₁) by `iterations` rounds of power iteration: v ← AᵀA v, brought back to length 1.
pub fn leading(matrix: ArrayView2<'_, f64>, iterations: usize) -> (f64, Array1<f64>, Array1<f64>) {
    let unit = |v: Array1<f64>| {
        let length = v.dot(&v).sqrt();
        (v / length, length)
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
