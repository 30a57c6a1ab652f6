//! LoRA-FA.

use lora_fa::Cholesky;
use ndarray::{Array2, ArrayView2};

// ANCHOR: backward
/// (∂L/∂B, the adapter's part of ∂L/∂x) of y = x Wᵀ + s h Bᵀ with h = x Aᵀ and A frozen. x itself is not at hand.
pub fn backward(
    a: ArrayView2<'_, f64>,
    b: ArrayView2<'_, f64>,
    scale: f64,
    h: ArrayView2<'_, f64>,
    grad_y: ArrayView2<'_, f64>,
) -> (Array2<f64>, Array2<f64>) {
    let grad_b = grad_y.t().dot(&h) * scale; // [out, tokens]·[tokens, r] → [out, r]
    let grad_h = grad_y.dot(&b) * scale; // [tokens, out]·[out, r] → [tokens, r]
    (grad_b, grad_h.dot(&a)) // [tokens, r]·[r, in] → [tokens, in]
}
// ANCHOR_END: backward

// ANCHOR: project
/// The ĝ for which s ĝ A is nearest to the full gradient g, from ∂L/∂B = s g Aᵀ alone.
pub fn project(a: ArrayView2<'_, f64>, scale: f64, grad_b: ArrayView2<'_, f64>) -> Array2<f64> {
    // At the minimum of ‖s ĝ A − g‖² its derivative is zero: s (s ĝ A − g) Aᵀ = 0, and so s² ĝ A Aᵀ = ∂L/∂B.
    let gram = Cholesky::of_gram(a).expect("independent rows");
    gram.solve(grad_b.to_owned()).expect("r columns") / (scale * scale)
}
// ANCHOR_END: project

// ANCHOR: kept
/// \[LoRA, LoRA-FA\]: how many numbers are kept for backward when `layers` adapters of rank r read the same x \[tokens, in\].
pub fn kept(tokens: usize, inputs: usize, rank: usize, layers: usize) -> [usize; 2] {
    let low_rank = layers * tokens * rank; // each has an A of its own
    [tokens * inputs + low_rank, low_rank] // one x serves all
}
// ANCHOR_END: kept

// ANCHOR: reachable
/// The part of a change C \[out, in\] that LoRA-FA can learn with this A: the nearest matrix whose rows are sums of A's rows.
pub fn reachable(change: ArrayView2<'_, f64>, a: ArrayView2<'_, f64>) -> Array2<f64> {
    // C P with P = Aᵀ (A Aᵀ)⁻¹ A. C Aᵀ is what `project` is given, with s = 1.
    let along = change.dot(&a.t()); // [out, in]·[in, r] → [out, r]
    project(a, 1.0, along.view()).dot(&a) // [out, r]·[r, in] → [out, in]
}
// ANCHOR_END: reachable
