//! SwiGLU (Shazeer 2020, arXiv 2002.05202): y = silu(gate) ⊙ up, with silu(z) = z σ(z).

use adapter::Real;
use ndarray::{Array2, ArrayView2, Zip};

/// silu(gate) ⊙ up, \[tokens, intermediate\].
pub fn forward<T: Real>(gate: ArrayView2<'_, T>, up: ArrayView2<'_, T>) -> Array2<T> {
    Zip::from(gate).and(up).map_collect(|&gate, &up| gate * sigmoid(gate) * up)
}

/// ∂L/∂gate and ∂L/∂up from ∂L/∂y: silu′(z) = σ(z) (1 + z (1 − σ(z))).
pub fn backward<T: Real>(
    gate: ArrayView2<'_, T>,
    up: ArrayView2<'_, T>,
    grad_y: ArrayView2<'_, T>,
) -> (Array2<T>, Array2<T>) {
    let mut grad_gate = grad_y.to_owned();
    let mut grad_up = up.to_owned();
    Zip::from(&mut grad_gate).and(&mut grad_up).and(gate).for_each(|grad, up, &z| {
        let (grad_y, sigmoid) = (*grad, sigmoid(z));
        *grad = grad_y * *up * sigmoid * (T::one() + z * (T::one() - sigmoid));
        *up = grad_y * z * sigmoid;
    });
    (grad_gate, grad_up)
}

fn sigmoid<T: Real>(z: T) -> T {
    T::one() / (T::one() + (-z).exp())
}
