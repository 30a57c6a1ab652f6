//! Delta-LoRA.

use ndarray::{Array2, ArrayView2};

// ANCHOR: step
/// W after an update that took (A, B) from `before` to `after`, in f for λ s.
pub fn step(
    weight: ArrayView2<'_, f64>,
    f: f64,
    before: (ArrayView2<'_, f64>, ArrayView2<'_, f64>),
    after: (ArrayView2<'_, f64>, ArrayView2<'_, f64>),
) -> Array2<f64> {
    // The difference of the products. (B⁺ − B)(A⁺ − A) would lose B (A⁺ − A) + (B⁺ − B) A, nearly all of it.
    &weight + (after.1.dot(&after.0) - before.1.dot(&before.0)) * f
}
// ANCHOR_END: step

// ANCHOR: restore
/// W₀ from W_T, f for λ s, and the (A, B) of update K and of update T.
pub fn restore(
    weight: ArrayView2<'_, f64>,
    f: f64,
    start: (ArrayView2<'_, f64>, ArrayView2<'_, f64>),
    end: (ArrayView2<'_, f64>, ArrayView2<'_, f64>),
) -> Array2<f64> {
    // All the moves are one move from the start to the end.
    step(weight, -f, start, end)
}
// ANCHOR_END: restore

// ANCHOR: sgd_twin
/// Scale, rate and decay with which LoRA under SGD trains the same layer as Delta-LoRA with λ and K = 0 from B = 0.
pub fn sgd_twin(lambda: f64, [scale, lr, weight_decay]: [f64; 3]) -> [f64; 3] {
    let c = 1.0 + lambda;
    [c * scale, lr / c, weight_decay * c]
}
// ANCHOR_END: sgd_twin

// ANCHOR: moved
/// W_T − W₀ in f for λ s, from the factors (A, B) after 0, 1, …, T updates. W moves from update K + 1 on.
pub fn moved(history: &[(Array2<f64>, Array2<f64>)], f: f64, k: usize) -> Array2<f64> {
    let product = |(a, b): &(Array2<f64>, Array2<f64>)| b.dot(a);
    let last = history.len() - 1;
    // With fewer than K updates W has not moved: then K and T are the same.
    (product(&history[last]) - product(&history[k.min(last)])) * f
}
// ANCHOR_END: moved
