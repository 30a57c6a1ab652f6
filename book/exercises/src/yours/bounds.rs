//! How near is near enough.

use ndarray::{Array2, ArrayView2};

/// (1 + u)ᵏ − 1, to all its digits, also where 1 + u is 1 in f64.
pub fn growth(k: u32, u: f64) -> f64 {
    todo!()
}

/// The gauge of y = x Wᵀ + s x Aᵀ Bᵀ: for each entry of y the sum of the sizes of its terms.
pub fn gauge(
    x: ArrayView2<'_, f64>,
    weight: ArrayView2<'_, f64>,
    a: ArrayView2<'_, f64>,
    b: ArrayView2<'_, f64>,
    s: f64,
) -> Array2<f64> {
    todo!()
}

/// The largest |got − want| / bound. What is equal counts 0, also where the bound is 0. What is not equal counts ∞ where the
/// bound is 0, and so does a NaN.
pub fn rho(got: &[f64], want: &[f64], bound: &[f64]) -> f64 {
    todo!()
}

/// ρ of Σ x w, where every product is rounded to f32 and the sum is taken in f32 from left to right.
pub fn dot(x: &[f32], w: &[f32]) -> f64 {
    todo!()
}
