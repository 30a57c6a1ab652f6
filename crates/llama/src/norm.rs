//! RMSNorm (Zhang & Sennrich 2019, arXiv 1910.07467): y = w ⊙ x / √(mean(x²) + ε), row by row.

use std::mem;

use adapter::{Real, parallel};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Zip};

/// y \[tokens, hidden\], and 1/√(mean(x²) + ε) of each row, which [`backward`] needs.
pub fn forward<T: Real>(
    x: ArrayView2<'_, T>,
    gain: ArrayView1<'_, T>,
    eps: f64,
) -> (Array2<T>, Array1<T>) {
    let (width, eps) = (T::from_f64(x.ncols() as f64), T::from_f64(eps));
    let mut y = x.to_owned();
    let numbers = y.len();
    let inverse = parallel::map(numbers, y.outer_iter_mut(), |mut row| {
        let inverse = T::one() / (row.dot(&row) / width + eps).sqrt();
        Zip::from(&mut row).and(gain).for_each(|y, &gain| *y = gain * (*y * inverse));
        inverse
    });
    (y, inverse.into())
}

/// Adds ∂L/∂x to `grad_x` and returns ∂L/∂w, both from ∂L/∂y. With r = 1/√(mean(x²) + ε), n the width and
/// ĝ = w ⊙ ∂L/∂y:
///
/// ```text
/// ∂L/∂x = r ĝ − (r³/n) (ĝ·x) x        ∂L/∂w = Σ_rows ∂L/∂y ⊙ r x
/// ```
pub fn backward<T: Real>(
    x: ArrayView2<'_, T>,
    gain: ArrayView1<'_, T>,
    inverse: ArrayView1<'_, T>,
    grad_y: ArrayView2<'_, T>,
    grad_x: &mut Array2<T>,
) -> Array1<T> {
    let width = T::from_f64(x.ncols() as f64);
    let rows = || x.outer_iter().zip(grad_y.outer_iter()).zip(inverse);
    parallel::map(x.len(), rows().zip(grad_x.outer_iter_mut()), |(((x, grad_y), &r), grad_x)| {
        let mut along = T::zero();
        Zip::from(x).and(grad_y).and(gain).for_each(|&x, &g, &w| along += g * w * x);
        let pull = r * r * r * along / width;
        let row = Zip::from(grad_x).and(x).and(grad_y).and(gain);
        row.for_each(|grad_x, &x, &g, &w| *grad_x += r * (w * g) - pull * x);
    });
    let mut grad_gain = Array1::zeros(gain.len());
    for ((x, grad_y), &r) in rows() {
        Zip::from(&mut grad_gain).and(x).and(grad_y).for_each(|sum, &x, &g| *sum += g * r * x);
    }
    grad_gain
}

/// RMSNorm in its place, of whole rows or of each head of them: x \[tokens, heads·width\], gain \[width\]. Returns what went in
/// and each head's 1/rms, which [`rows_backward`] needs.
pub fn rows<T: Real>(x: &mut Array2<T>, gain: &Array1<T>, eps: f64) -> (Array2<T>, Array1<T>) {
    let (y, inverse) = forward(rows_of_heads(x, gain.len()), gain.view(), eps);
    let y = y.into_shape_with_order(x.dim()).expect("as many numbers");
    (mem::replace(x, y), inverse)
}

/// Turns `grad` from ∂L/∂y into ∂L/∂x, both \[tokens, heads·width\]; returns ∂L/∂w, \[width\].
pub fn rows_backward<T: Real>(
    (x, inverse): &(Array2<T>, Array1<T>),
    gain: &Array1<T>,
    grad: &mut Array2<T>,
) -> Array1<T> {
    let (x, grad_y) = (rows_of_heads(x, gain.len()), rows_of_heads(grad, gain.len()));
    let mut grad_x = Array2::zeros(x.dim());
    let grad_gain = backward(x, gain.view(), inverse.view(), grad_y, &mut grad_x);
    *grad = grad_x.into_shape_with_order(grad.dim()).expect("as many numbers");
    grad_gain
}

/// \[tokens, heads·width\] as \[tokens·heads, width\].
fn rows_of_heads<T>(x: &Array2<T>, width: usize) -> ArrayView2<'_, T> {
    x.view().into_shape_with_order((x.len() / width, width)).expect("whole heads, row by row")
}
