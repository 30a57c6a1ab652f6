//! A linear layer and its gradient.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

/// The gradients of y = x Wᵀ + bias: (∂L/∂x, ∂L/∂W, ∂L/∂bias), with the shapes of x, W and bias.
pub fn backward(
    weight: ArrayView2<'_, f64>,
    x: ArrayView2<'_, f64>,
    grad_y: ArrayView2<'_, f64>,
) -> (Array2<f64>, Array2<f64>, Array1<f64>) {
    todo!()
}

/// (∂L/∂W₁, ∂L/∂W₂) of y = (x W₁ᵀ) W₂ᵀ.
pub fn two_layers(
    first: ArrayView2<'_, f64>,
    second: ArrayView2<'_, f64>,
    x: ArrayView2<'_, f64>,
    grad_y: ArrayView2<'_, f64>,
) -> (Array2<f64>, Array2<f64>) {
    todo!()
}

/// The central difference of `f` at `p`.
pub fn central(f: &dyn Fn(f64) -> f64, p: f64, h: f64) -> f64 {
    todo!()
}

/// The loss −ln p of the right class, where p is the softmax of the logits, and its gradient by each logit.
pub fn cross_entropy(logits: ArrayView1<'_, f64>, right: usize) -> (f64, Array1<f64>) {
    todo!()
}
