//! LoRA.

use ndarray::{Array2, ArrayView2};

/// (∂L/∂A, ∂L/∂B) of y = x Wᵀ + s x Aᵀ Bᵀ, never forming a matrix of W's size.
pub fn backward(
    a: ArrayView2<'_, f64>,
    b: ArrayView2<'_, f64>,
    scale: f64,
    x: ArrayView2<'_, f64>,
    grad_y: ArrayView2<'_, f64>,
) -> (Array2<f64>, Array2<f64>) {
    todo!()
}

/// Two adapters (A, B, s) of the same weight as one, (A, B) with scale 1, whose ΔW is the sum of the two.
pub fn add(
    (a1, b1, scale1): (ArrayView2<'_, f64>, ArrayView2<'_, f64>, f64),
    (a2, b2, scale2): (ArrayView2<'_, f64>, ArrayView2<'_, f64>, f64),
) -> (Array2<f64>, Array2<f64>) {
    todo!()
}

/// The adapter (A, B) of rank `rank`, with scale 1, whose B A is nearest to a given ΔW: what turns a model that someone
/// fine-tuned in full into a small file.
pub fn extract(delta: ArrayView2<'_, f64>, rank: usize) -> (Array2<f64>, Array2<f64>) {
    todo!()
}

/// Two adapters (A, B, s) of two weights that read the same x, as one adapter (A, B) with scale 1 of the weight in which
/// the second lies below the first, as when queries and values are one matrix.
pub fn beside(
    (a1, b1, scale1): (ArrayView2<'_, f64>, ArrayView2<'_, f64>, f64),
    (a2, b2, scale2): (ArrayView2<'_, f64>, ArrayView2<'_, f64>, f64),
) -> (Array2<f64>, Array2<f64>) {
    todo!()
}
