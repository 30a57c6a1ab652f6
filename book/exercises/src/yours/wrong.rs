//! How adapters go wrong.

use ndarray::ArrayView2;

/// The s with which an implementation computed y = x Wᵀ + s x Aᵀ Bᵀ: the one that comes nearest to its y.
pub fn factor(
    x: ArrayView2<'_, f64>,
    weight: ArrayView2<'_, f64>,
    a: ArrayView2<'_, f64>,
    b: ArrayView2<'_, f64>,
    y: ArrayView2<'_, f64>,
) -> f64 {
    todo!()
}

/// The nearest number with eight significant bits; of two that are equally near, the one whose last bit is 0.
pub fn bf16(number: f32) -> f32 {
    todo!()
}

/// How much of ΔW is lost when W + ΔW is rounded to bf16: the length of the error as a share of that of ΔW.
pub fn lost(weight: ArrayView2<'_, f64>, delta: ArrayView2<'_, f64>) -> f64 {
    todo!()
}

/// How often ΔW was added to `before` to make `after`: 0 if it never was, 2 if it was merged twice.
pub fn times(
    before: ArrayView2<'_, f64>,
    after: ArrayView2<'_, f64>,
    delta: ArrayView2<'_, f64>,
) -> f64 {
    todo!()
}
