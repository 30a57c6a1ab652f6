//! RMSNorm (Zhang & Sennrich 2019, arXiv 1910.07467): y = w ⊙ x / √(mean(x²) + ε), row by row.

use adapter::Real;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Zip};

/// y \[tokens, hidden\], and 1/√(mean(x²) + ε) of each row, which [`backward`] needs.
pub fn forward<T: Real>(
    x: ArrayView2<'_, T>,
    gain: ArrayView1<'_, T>,
    eps: f64,
) -> (Array2<T>, Array1<T>) {
    let (width, eps) = (T::from_f64(x.ncols() as f64), T::from_f64(eps));
    let inverse: Array1<T> =
        x.outer_iter().map(|row| T::one() / (row.dot(&row) / width + eps).sqrt()).collect();
    let mut y = x.to_owned();
    for (mut row, &inverse) in y.outer_iter_mut().zip(&inverse) {
        Zip::from(&mut row).and(gain).for_each(|y, &gain| *y = gain * (*y * inverse));
    }
    (y, inverse)
}

/// ∂L/∂x and ∂L/∂w from ∂L/∂y. With r = 1/√(mean(x²) + ε), n the width and ĝ = w ⊙ ∂L/∂y:
///
/// ```text
/// ∂L/∂x = r ĝ − (r³/n) (ĝ·x) x        ∂L/∂w = Σ_rows ∂L/∂y ⊙ r x
/// ```
pub fn backward<T: Real>(
    x: ArrayView2<'_, T>,
    gain: ArrayView1<'_, T>,
    inverse: ArrayView1<'_, T>,
    grad_y: ArrayView2<'_, T>,
) -> (Array2<T>, Array1<T>) {
    let width = T::from_f64(x.ncols() as f64);
    let mut grad_x = Array2::zeros(x.dim());
    let mut grad_gain = Array1::zeros(gain.len());
    for (row, mut grad_row) in grad_x.outer_iter_mut().enumerate() {
        let (x, grad_y, r) = (x.row(row), grad_y.row(row), inverse[row]);
        let mut along = T::zero();
        Zip::from(&x).and(&grad_y).and(gain).for_each(|&x, &g, &w| along += g * w * x);
        let pull = r * r * r * along / width;
        Zip::from(&mut grad_row)
            .and(&x)
            .and(&grad_y)
            .and(gain)
            .for_each(|grad_x, &x, &g, &w| *grad_x = r * (w * g) - pull * x);
        Zip::from(&mut grad_gain).and(&x).and(&grad_y).for_each(|sum, &x, &g| *sum += g * r * x);
    }
    (grad_x, grad_gain)
}
