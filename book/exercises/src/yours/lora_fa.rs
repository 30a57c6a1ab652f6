//! LoRA-FA.

use ndarray::{Array2, ArrayView2};

/// (∂L/∂B, the adapter's part of ∂L/∂x) of y = x Wᵀ + s h Bᵀ with h = x Aᵀ and A frozen. x itself is not at hand.
pub fn backward(
    a: ArrayView2<'_, f64>,
    b: ArrayView2<'_, f64>,
    scale: f64,
    h: ArrayView2<'_, f64>,
    grad_y: ArrayView2<'_, f64>,
) -> (Array2<f64>, Array2<f64>) {
    todo!()
}

/// The ĝ for which s ĝ A is nearest to the full gradient g, from ∂L/∂B = s g Aᵀ alone.
pub fn project(a: ArrayView2<'_, f64>, scale: f64, grad_b: ArrayView2<'_, f64>) -> Array2<f64> {
    todo!()
}

/// \[LoRA, LoRA-FA\]: how many numbers are kept for backward when `layers` adapters of rank r read the same x \[tokens, in\].
pub fn kept(tokens: usize, inputs: usize, rank: usize, layers: usize) -> [usize; 2] {
    todo!()
}

/// The part of a change C \[out, in\] that LoRA-FA can learn with this A: the nearest matrix whose rows are sums of A's rows.
pub fn reachable(change: ArrayView2<'_, f64>, a: ArrayView2<'_, f64>) -> Array2<f64> {
    todo!()
}
