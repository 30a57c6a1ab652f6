//! A linear layer and its gradient.

use ndarray::{Array1, Array2, ArrayView2};

/// The gradients of y = x Wᵀ + bias: (∂L/∂x, ∂L/∂W, ∂L/∂bias), with the shapes of x, W and bias.
pub fn backward(
    weight: ArrayView2<'_, f64>,
    x: ArrayView2<'_, f64>,
    grad_y: ArrayView2<'_, f64>,
) -> (Array2<f64>, Array2<f64>, Array1<f64>) {
    todo!()
}
