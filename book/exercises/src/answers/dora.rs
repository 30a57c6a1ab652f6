//! DoRA.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

/// The length of each row, as a column.
fn lengths(v: ArrayView2<'_, f64>) -> Array2<f64> {
    v.map_axis(Axis(1), |row| row.dot(&row).sqrt()).insert_axis(Axis(1))
}

// ANCHOR: merged
/// W′: the rows of V = W + ΔW, each at its length in m.
pub fn merged(
    weight: ArrayView2<'_, f64>,
    delta: ArrayView2<'_, f64>,
    magnitude: ArrayView1<'_, f64>,
) -> Array2<f64> {
    let v = &weight + &delta;
    &v / &lengths(v.view()) * magnitude.insert_axis(Axis(1)) // [out, in] ⊙ [out, 1]
}
// ANCHOR_END: merged

// ANCHOR: grad_magnitude
/// ∂L/∂m of y = x W′ᵀ, without W′: from V and `grad` = Gᵀx, the gradient that W′ has.
pub fn grad_magnitude(v: ArrayView2<'_, f64>, grad: ArrayView2<'_, f64>) -> Array1<f64> {
    // Row i of W′ is mᵢ times a unit vector: the slope along that vector.
    (&v / &lengths(v) * grad).sum_axis(Axis(1))
}
// ANCHOR_END: grad_magnitude

// ANCHOR: grad_direction
/// ∂L/∂V with the norm as part of what is differentiated, from `grad`, the gradient that W′ has.
pub fn grad_direction(
    v: ArrayView2<'_, f64>,
    magnitude: ArrayView1<'_, f64>,
    grad: ArrayView2<'_, f64>,
) -> Array2<f64> {
    let norm = lengths(v);
    let along = grad_magnitude(v, grad).insert_axis(Axis(1));
    // A longer row of V is the same layer, so the part of the gradient along the row is taken out.
    let across = &grad - &(&v / &norm * along);
    across * magnitude.insert_axis(Axis(1)) / norm
}
// ANCHOR_END: grad_direction

// ANCHOR: norms
/// The length of each row of V = W + s B A, without a matrix of W's size: \[out\].
pub fn norms(
    weight: ArrayView2<'_, f64>,
    a: ArrayView2<'_, f64>,
    b: ArrayView2<'_, f64>,
    scale: f64,
) -> Array1<f64> {
    // ‖w + s b A‖² = ‖w‖² + 2 s (w Aᵀ)·b + s² (b A Aᵀ)·b for a row w of W and a row b of B.
    let own = weight.map_axis(Axis(1), |row| row.dot(&row));
    let mixed = (weight.dot(&a.t()) * b).sum_axis(Axis(1)); // [out, in]·[in, r] → [out, r]
    let added = (b.dot(&a.dot(&a.t())) * b).sum_axis(Axis(1)); // [out, r]·[r, r] → [out, r]
    (own + mixed * (2.0 * scale) + added * (scale * scale)).mapv(f64::sqrt)
}
// ANCHOR_END: norms
