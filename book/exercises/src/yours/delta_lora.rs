//! Delta-LoRA.

use ndarray::{Array2, ArrayView2};

/// W after an update that took (A, B) from `before` to `after`, in f for λ s.
pub fn step(
    weight: ArrayView2<'_, f64>,
    f: f64,
    before: (ArrayView2<'_, f64>, ArrayView2<'_, f64>),
    after: (ArrayView2<'_, f64>, ArrayView2<'_, f64>),
) -> Array2<f64> {
    todo!()
}

/// W₀ from W_T, f for λ s, and the (A, B) of update K and of update T.
pub fn restore(
    weight: ArrayView2<'_, f64>,
    f: f64,
    start: (ArrayView2<'_, f64>, ArrayView2<'_, f64>),
    end: (ArrayView2<'_, f64>, ArrayView2<'_, f64>),
) -> Array2<f64> {
    todo!()
}

/// Scale, rate and decay with which LoRA under SGD trains the same layer as Delta-LoRA with λ and K = 0 from B = 0.
pub fn sgd_twin(lambda: f64, [scale, lr, weight_decay]: [f64; 3]) -> [f64; 3] {
    todo!()
}

/// W_T − W₀ in f for λ s, from the factors (A, B) after 0, 1, …, T updates. W moves from update K + 1 on.
pub fn moved(history: &[(Array2<f64>, Array2<f64>)], f: f64, k: usize) -> Array2<f64> {
    todo!()
}
