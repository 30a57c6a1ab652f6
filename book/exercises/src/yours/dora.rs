//! DoRA.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

/// W′: the rows of V = W + ΔW, each at its length in m.
pub fn merged(
    weight: ArrayView2<'_, f64>,
    delta: ArrayView2<'_, f64>,
    magnitude: ArrayView1<'_, f64>,
) -> Array2<f64> {
    todo!()
}

/// ∂L/∂m of y = x W′ᵀ, without W′: from V and `grad` = Gᵀx, the gradient that W′ has.
pub fn grad_magnitude(v: ArrayView2<'_, f64>, grad: ArrayView2<'_, f64>) -> Array1<f64> {
    todo!()
}

/// ∂L/∂V with the norm as part of what is differentiated, from `grad`, the gradient that W′ has.
pub fn grad_direction(
    v: ArrayView2<'_, f64>,
    magnitude: ArrayView1<'_, f64>,
    grad: ArrayView2<'_, f64>,
) -> Array2<f64> {
    todo!()
}

/// The length of each row of V = W + s B A, without a matrix of W's size: \[out\].
pub fn norms(
    weight: ArrayView2<'_, f64>,
    a: ArrayView2<'_, f64>,
    b: ArrayView2<'_, f64>,
    scale: f64,
) -> Array1<f64> {
    todo!()
}
