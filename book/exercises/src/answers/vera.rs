//! VeRA.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};

// ANCHOR: backward
/// (∂L/∂b, ∂L/∂d) of y = x Wᵀ + ((u ⊙ d) Bᵀ) ⊙ b, where u = x Aᵀ.
pub fn backward(
    b: ArrayView2<'_, f64>,
    lambda_b: ArrayView1<'_, f64>,
    lambda_d: ArrayView1<'_, f64>,
    u: ArrayView2<'_, f64>,
    grad_y: ArrayView2<'_, f64>,
) -> (Array1<f64>, Array1<f64>) {
    let z = (&u * &lambda_d).dot(&b.t()); // [tokens, r]·[r, out] → [tokens, out]
    let grad_v = (&grad_y * &lambda_b).dot(&b); // [tokens, out]·[out, r] → [tokens, r]
    ((&grad_y * &z).sum_axis(Axis(0)), (&u * &grad_v).sum_axis(Axis(0)))
}
// ANCHOR_END: backward

// ANCHOR: as_lora
/// The LoRA adapter (A, B) with scale 1 that has the ΔW of a VeRA layer: for a program that knows only LoRA.
pub fn as_lora(
    a: ArrayView2<'_, f64>,
    b: ArrayView2<'_, f64>,
    lambda_b: ArrayView1<'_, f64>,
    lambda_d: ArrayView1<'_, f64>,
) -> (Array2<f64>, Array2<f64>) {
    // Λ_b B Λ_d A = (Λ_b B Λ_d) A: rows of B times b, columns times d.
    let b = &b * &lambda_b.insert_axis(Axis(1)) * lambda_d; // [out, r]
    (a.to_owned(), b)
}
// ANCHOR_END: as_lora

// ANCHOR: numbers
/// \[trained, frozen\] numbers of VeRA on weights of these shapes \[out, in\], with one A and one B for all of them.
pub fn numbers(shapes: &[[usize; 2]], rank: usize) -> [usize; 2] {
    let trained = shapes.iter().map(|[out, _]| out + rank).sum();
    let largest = |side: usize| shapes.iter().map(|shape| shape[side]).max().unwrap_or(0);
    [trained, rank * (largest(0) + largest(1))]
}
// ANCHOR_END: numbers

// ANCHOR: delta
/// ΔW \[out, in\] of a layer that takes what it needs of the shared A and B: the first columns of A and the first rows of B.
/// `shape` is \[out, in\].
pub fn delta(
    shape: [usize; 2],
    a: ArrayView2<'_, f64>,
    b: ArrayView2<'_, f64>,
    lambda_b: ArrayView1<'_, f64>,
    lambda_d: ArrayView1<'_, f64>,
) -> Array2<f64> {
    let [out, inputs] = shape;
    let (a, b) = as_lora(a.slice(s![.., ..inputs]), b.slice(s![..out, ..]), lambda_b, lambda_d);
    b.dot(&a) // [out, r]·[r, in] → [out, in]
}
// ANCHOR_END: delta
