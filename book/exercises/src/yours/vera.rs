//! VeRA.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

/// (∂L/∂b, ∂L/∂d) of y = x Wᵀ + ((u ⊙ d) Bᵀ) ⊙ b, where u = x Aᵀ.
pub fn backward(
    b: ArrayView2<'_, f64>,
    lambda_b: ArrayView1<'_, f64>,
    lambda_d: ArrayView1<'_, f64>,
    u: ArrayView2<'_, f64>,
    grad_y: ArrayView2<'_, f64>,
) -> (Array1<f64>, Array1<f64>) {
    todo!()
}

/// The LoRA adapter (A, B) with scale 1 that has the ΔW of a VeRA layer: for a program that knows only LoRA.
pub fn as_lora(
    a: ArrayView2<'_, f64>,
    b: ArrayView2<'_, f64>,
    lambda_b: ArrayView1<'_, f64>,
    lambda_d: ArrayView1<'_, f64>,
) -> (Array2<f64>, Array2<f64>) {
    todo!()
}

/// \[trained, frozen\] numbers of VeRA on weights of these shapes \[out, in\], with one A and one B for all of them.
pub fn numbers(shapes: &[[usize; 2]], rank: usize) -> [usize; 2] {
    todo!()
}

/// ΔW \[out, in\] of a layer that takes what it needs of the shared A and B: the first columns of A and the first rows of B.
/// `shape` is \[out, in\].
pub fn delta(
    shape: [usize; 2],
    a: ArrayView2<'_, f64>,
    b: ArrayView2<'_, f64>,
    lambda_b: ArrayView1<'_, f64>,
    lambda_d: ArrayView1<'_, f64>,
) -> Array2<f64> {
    todo!()
}
