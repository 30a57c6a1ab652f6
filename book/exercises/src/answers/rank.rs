//! Rank.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, s};

// ANCHOR: outer
/// b aᵀ: every entry is `b[i] * a[j]`.
pub fn outer(b: ArrayView1<'_, f64>, a: ArrayView1<'_, f64>) -> Array2<f64> {
    Array2::from_shape_fn((b.len(), a.len()), |(i, j)| b[i] * a[j])
}
// ANCHOR_END: outer

// ANCHOR: rank
/// The rank by elimination: take the largest entry as a pivot, subtract the rank-1 matrix that clears its row and
/// column, and count how often that can be done before all entries are at most `tolerance`.
pub fn rank(matrix: ArrayView2<'_, f64>, tolerance: f64) -> usize {
    let mut left = matrix.to_owned();
    let mut rank = 0;
    loop {
        let largest = left.indexed_iter().max_by(|(_, a), (_, b)| a.abs().total_cmp(&b.abs()));
        let Some(((row, column), &pivot)) = largest else { return rank };
        if pivot.abs() <= tolerance {
            return rank;
        }
        let cross = outer(left.column(column), left.row(row)) / pivot;
        left -= &cross;
        // What rounding left behind is zero by construction.
        left.slice_mut(s![row, ..]).fill(0.0);
        left.slice_mut(s![.., column]).fill(0.0);
        rank += 1;
    }
}
// ANCHOR_END: rank

// ANCHOR: stack
/// B and A whose product is the sum of the outer products of these pairs (b, a). There is at least one pair.
pub fn stack(pairs: &[(Array1<f64>, Array1<f64>)]) -> (Array2<f64>, Array2<f64>) {
    let b = Array2::from_shape_fn((pairs[0].0.len(), pairs.len()), |(i, k)| pairs[k].0[i]);
    let a = Array2::from_shape_fn((pairs.len(), pairs[0].1.len()), |(k, j)| pairs[k].1[j]);
    (b, a)
}
// ANCHOR_END: stack

// ANCHOR: factor
/// B \[m, r\] and A \[r, n\] with B A = `matrix`, where r is its rank by elimination, at least 1.
pub fn factor(matrix: ArrayView2<'_, f64>, tolerance: f64) -> (Array2<f64>, Array2<f64>) {
    let mut left = matrix.to_owned();
    let mut pairs = Vec::new();
    for _ in 0..rank(matrix, tolerance) {
        let largest = left.indexed_iter().max_by(|(_, a), (_, b)| a.abs().total_cmp(&b.abs()));
        let ((row, column), &pivot) = largest.expect("a matrix of rank 1 or more has entries");
        // Each outer product that elimination subtracts is one of the pairs.
        let (b, a) = (left.column(column).to_owned() / pivot, left.row(row).to_owned());
        left -= &outer(b.view(), a.view());
        pairs.push((b, a));
    }
    stack(&pairs)
}
// ANCHOR_END: factor
