//! A linear layer and its gradient.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

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

// ANCHOR: two_layers
/// (∂L/∂W₁, ∂L/∂W₂) of y = (x W₁ᵀ) W₂ᵀ.
pub fn two_layers(
    first: ArrayView2<'_, f64>,
    second: ArrayView2<'_, f64>,
    x: ArrayView2<'_, f64>,
    grad_y: ArrayView2<'_, f64>,
) -> (Array2<f64>, Array2<f64>) {
    let h = x.dot(&first.t()); // [tokens, in]·[in, hidden] → [tokens, hidden]
    let (grad_h, grad_second, _) = backward(second, h.view(), grad_y);
    let (_, grad_first, _) = backward(first, x, grad_h.view());
    (grad_first, grad_second)
}
// ANCHOR_END: two_layers

// ANCHOR: central
/// The central difference of `f` at `p`.
pub fn central(f: &dyn Fn(f64) -> f64, p: f64, h: f64) -> f64 {
    (f(p + h) - f(p - h)) / (2.0 * h)
}
// ANCHOR_END: central

// ANCHOR: cross_entropy
/// The loss −ln p of the right class, where p is the softmax of the logits, and its gradient by each logit.
pub fn cross_entropy(logits: ArrayView1<'_, f64>, right: usize) -> (f64, Array1<f64>) {
    // Without the largest, e to the power of a large logit would be infinite. It divides out.
    let largest = logits.fold(f64::NEG_INFINITY, |largest, &logit| largest.max(logit));
    let powers = logits.mapv(|logit| (logit - largest).exp());
    let mut p = &powers / powers.sum();
    let loss = powers.sum().ln() - (logits[right] - largest);
    p[right] -= 1.0; // ∂L/∂logit = p − 1 for the right class and p for the others
    (loss, p)
}
// ANCHOR_END: cross_entropy
