//! A linear layer and its gradient.

use ndarray::{Array1, Array2, ArrayView2, Axis};

// ANCHOR: backward
/// The gradients of y = x Wᵀ + bias: (∂L/∂x, ∂L/∂W, ∂L/∂bias), with the shapes of x, W and bias.
pub fn backward(
    weight: ArrayView2<'_, f64>,
    x: ArrayView2<'_, f64>,
    grad_y: ArrayView2<'_, f64>,
) -> (Array2<f64>, Array2<f64>, Array1<f64>) {
    let grad_x = grad_y.dot(&weight); // [tokens, out]·[out, in]
    let grad_weight = grad_y.t().dot(&x); // [out, tokens]·[tokens, in]
    // Every token adds the same bias, so every token's gradient counts.
    let grad_bias = grad_y.sum_axis(Axis(0));
    (grad_x, grad_weight, grad_bias)
}
// ANCHOR_END: backward
