//! Rank.

use ndarray::{Array2, ArrayView1, ArrayView2};

/// b aᵀ: every entry is `b[i] * a[j]`.
pub fn outer(b: ArrayView1<'_, f64>, a: ArrayView1<'_, f64>) -> Array2<f64> {
    todo!()
}

/// The rank by elimination: take the largest entry as a pivot, subtract the rank-1 matrix that clears its row and
/// column, and count how often that can be done before all entries are at most `tolerance`.
pub fn rank(matrix: ArrayView2<'_, f64>, tolerance: f64) -> usize {
    todo!()
}
