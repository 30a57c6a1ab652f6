//! Rank.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

/// b aᵀ: every entry is `b[i] * a[j]`.
pub fn outer(b: ArrayView1<'_, f64>, a: ArrayView1<'_, f64>) -> Array2<f64> {
    todo!()
}

/// The rank by elimination: take the largest entry as a pivot, subtract the rank-1 matrix that clears its row and
/// column, and count how often that can be done before all entries are at most `tolerance`.
pub fn rank(matrix: ArrayView2<'_, f64>, tolerance: f64) -> usize {
    todo!()
}

/// B and A whose product is the sum of the outer products of these pairs (b, a). There is at least one pair.
pub fn stack(pairs: &[(Array1<f64>, Array1<f64>)]) -> (Array2<f64>, Array2<f64>) {
    todo!()
}

/// B \[m, r\] and A \[r, n\] with B A = `matrix`, where r is its rank by elimination, at least 1.
pub fn factor(matrix: ArrayView2<'_, f64>, tolerance: f64) -> (Array2<f64>, Array2<f64>) {
    todo!()
}
