//! Projections of the same input in one matrix, rows below rows: Phi-3's q, k and v, and its gate and up.

use adapter::Real;
use ndarray::{Array2, Axis, concatenate, s};

/// What each of them makes of the input, \[tokens, out\]: so many columns of what the matrix makes of it.
pub fn split<T: Real, const N: usize>(y: &Array2<T>, widths: [usize; N]) -> [Array2<T>; N] {
    let mut start = 0;
    widths.map(|width| {
        let columns = s![.., start..start + width];
        start += width;
        y.slice(columns).to_owned()
    })
}

/// The backward pass: ∂L/∂y of the matrix from those of its parts.
pub fn join<T: Real, const N: usize>(grads: [&Array2<T>; N]) -> Array2<T> {
    concatenate(Axis(1), &grads.map(|grad| grad.view())).expect("of the same tokens") // → [tokens, Σ out]
}
