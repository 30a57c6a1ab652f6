//! SwiGLU (Shazeer 2020, arXiv 2002.05202): y = silu(gate) ⊙ up, with silu(z) = z σ(z).

use adapter::{Real, parallel};
use ndarray::{Array2, ArrayView2, Zip};

/// silu(gate) ⊙ up, \[tokens, intermediate\].
pub fn forward<T: Real>(gate: ArrayView2<'_, T>, up: ArrayView2<'_, T>) -> Array2<T> {
    let mut y = Array2::zeros(gate.dim());
    let (numbers, rows) = (y.len(), y.outer_iter_mut().zip(gate.outer_iter()).zip(up.outer_iter()));
    parallel::map(numbers, rows, |((y, gate), up)| {
        Zip::from(y).and(gate).and(up).for_each(|y, &z, &up| *y = z * sigmoid(z) * up);
    });
    y
}

/// ∂L/∂gate, in the memory of `grad_y`, and ∂L/∂up from ∂L/∂y: silu′(z) = σ(z) (1 + z (1 − σ(z))).
pub fn backward<T: Real>(
    gate: ArrayView2<'_, T>,
    up: ArrayView2<'_, T>,
    mut grad_y: Array2<T>,
) -> [Array2<T>; 2] {
    let mut grad_up = up.to_owned();
    let (numbers, grads) = (up.len(), grad_y.outer_iter_mut().zip(grad_up.outer_iter_mut()));
    parallel::map(numbers, grads.zip(gate.outer_iter()), |((grads, ups), gate)| {
        Zip::from(grads).and(ups).and(gate).for_each(|grad, up, &z| {
            let (grad_y, sigmoid) = (*grad, sigmoid(z));
            *grad = grad_y * *up * sigmoid * (T::one() + z * (T::one() - sigmoid));
            *up = grad_y * z * sigmoid;
        });
    });
    [grad_y, grad_up]
}

fn sigmoid<T: Real>(z: T) -> T {
    T::one() / (T::one() + (-z).exp())
}
