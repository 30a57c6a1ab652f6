//! How adapters go wrong.

use ndarray::{Array2, ArrayView2};

// ANCHOR: factor
/// The s with which an implementation computed y = x Wᵀ + s x Aᵀ Bᵀ: the one that comes nearest to its y.
pub fn factor(
    x: ArrayView2<'_, f64>,
    weight: ArrayView2<'_, f64>,
    a: ArrayView2<'_, f64>,
    b: ArrayView2<'_, f64>,
    y: ArrayView2<'_, f64>,
) -> f64 {
    let adapter = x.dot(&a.t()).dot(&b.t());
    let added = &y - &x.dot(&weight.t());
    (&added * &adapter).sum() / (&adapter * &adapter).sum()
}
// ANCHOR_END: factor

// ANCHOR: bf16
/// The nearest number with eight significant bits; of two that are equally near, the one whose last bit is 0.
pub fn bf16(number: f32) -> f32 {
    let bits = number.to_bits();
    // A half of what is cut off, or a little less if the last bit that stays is 0.
    let half = 0x7fff + ((bits >> 16) & 1);
    f32::from_bits((bits + half) & 0xffff_0000)
}
// ANCHOR_END: bf16

// ANCHOR: lost
/// How much of ΔW is lost when W + ΔW is rounded to bf16: the length of the error as a share of that of ΔW.
pub fn lost(weight: ArrayView2<'_, f64>, delta: ArrayView2<'_, f64>) -> f64 {
    let norm = |m: &Array2<f64>| m.mapv(|number| number * number).sum().sqrt();
    let merged = &weight + &delta;
    let off = merged.mapv(|number| f64::from(bf16(number as f32))) - &merged;
    norm(&off) / norm(&delta.to_owned())
}
// ANCHOR_END: lost

// ANCHOR: times
/// How often ΔW was added to `before` to make `after`: 0 if it never was, 2 if it was merged twice.
pub fn times(
    before: ArrayView2<'_, f64>,
    after: ArrayView2<'_, f64>,
    delta: ArrayView2<'_, f64>,
) -> f64 {
    ((&after - &before) * delta).sum() / (&delta * &delta).sum()
}
// ANCHOR_END: times
