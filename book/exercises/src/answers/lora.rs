//! LoRA.

use ndarray::{Array2, ArrayView2, Axis, concatenate, s};

// ANCHOR: backward
/// (∂L/∂A, ∂L/∂B) of y = x Wᵀ + s x Aᵀ Bᵀ, never forming a matrix of W's size.
pub fn backward(
    a: ArrayView2<'_, f64>,
    b: ArrayView2<'_, f64>,
    scale: f64,
    x: ArrayView2<'_, f64>,
    grad_y: ArrayView2<'_, f64>,
) -> (Array2<f64>, Array2<f64>) {
    let h = x.dot(&a.t()); // [tokens, r]
    let grad_h = grad_y.dot(&b) * scale; // [tokens, r]
    (grad_h.t().dot(&x), grad_y.t().dot(&h) * scale)
}
// ANCHOR_END: backward

// ANCHOR: add
/// Two adapters (A, B, s) of the same weight as one, (A, B) with scale 1, whose ΔW is the sum of the two.
pub fn add(
    (a1, b1, scale1): (ArrayView2<'_, f64>, ArrayView2<'_, f64>, f64),
    (a2, b2, scale2): (ArrayView2<'_, f64>, ArrayView2<'_, f64>, f64),
) -> (Array2<f64>, Array2<f64>) {
    // [s₁B₁ s₂B₂]·[A₁; A₂] = s₁B₁A₁ + s₂B₂A₂. Adding A to A and B to B would mix in B₁A₂ and B₂A₁.
    let a = concatenate![Axis(0), a1, a2]; // [r₁ + r₂, in]
    let b = concatenate![Axis(1), &b1 * scale1, &b2 * scale2]; // [out, r₁ + r₂]
    (a, b)
}
// ANCHOR_END: add

// ANCHOR: extract
/// The adapter (A, B) of rank `rank`, with scale 1, whose B A is nearest to a given ΔW: what turns a model that someone
/// fine-tuned in full into a small file.
pub fn extract(delta: ArrayView2<'_, f64>, rank: usize) -> (Array2<f64>, Array2<f64>) {
    let svd = rank::svd(delta).expect("a finite matrix");
    // √Σ on both sides, so that A and B are equally large.
    let root = svd.s.slice(s![..rank]).mapv(f64::sqrt);
    let b = &svd.u.slice(s![.., ..rank]) * &root;
    let a = &svd.vt.slice(s![..rank, ..]) * &root.insert_axis(Axis(1));
    (a, b)
}
// ANCHOR_END: extract

// ANCHOR: beside
/// Two adapters (A, B, s) of two weights that read the same x, as one adapter (A, B) with scale 1 of the weight in which
/// the second lies below the first, as when queries and values are one matrix.
pub fn beside(
    (a1, b1, scale1): (ArrayView2<'_, f64>, ArrayView2<'_, f64>, f64),
    (a2, b2, scale2): (ArrayView2<'_, f64>, ArrayView2<'_, f64>, f64),
) -> (Array2<f64>, Array2<f64>) {
    let a = concatenate![Axis(0), a1, a2]; // [r₁ + r₂, in]
    // [s₁B₁ 0; 0 s₂B₂]: the first outputs see the first h only.
    let mut b = Array2::zeros((b1.nrows() + b2.nrows(), b1.ncols() + b2.ncols()));
    b.slice_mut(s![..b1.nrows(), ..b1.ncols()]).assign(&(&b1 * scale1));
    b.slice_mut(s![b1.nrows().., b1.ncols()..]).assign(&(&b2 * scale2));
    (a, b)
}
// ANCHOR_END: beside
