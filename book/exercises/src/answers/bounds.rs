//! How near is near enough.

use ndarray::{Array2, ArrayView2};

// ANCHOR: growth
/// (1 + u)ᵏ − 1, to all its digits, also where 1 + u is 1 in f64.
pub fn growth(k: u32, u: f64) -> f64 {
    (f64::from(k) * u.ln_1p()).exp_m1()
}
// ANCHOR_END: growth

// ANCHOR: gauge
/// The gauge of y = x Wᵀ + s x Aᵀ Bᵀ: for each entry of y the sum of the sizes of its terms.
pub fn gauge(
    x: ArrayView2<'_, f64>,
    weight: ArrayView2<'_, f64>,
    a: ArrayView2<'_, f64>,
    b: ArrayView2<'_, f64>,
    s: f64,
) -> Array2<f64> {
    let [x, weight, a, b] = [x, weight, a, b].map(|m| m.mapv(f64::abs));
    x.dot(&weight.t()) + s.abs() * x.dot(&a.t()).dot(&b.t())
}
// ANCHOR_END: gauge

// ANCHOR: rho
/// The largest |got − want| / bound. What is equal counts 0, also where the bound is 0. What is not equal counts ∞ where the
/// bound is 0, and so does a NaN.
pub fn rho(got: &[f64], want: &[f64], bound: &[f64]) -> f64 {
    let of_one = |((got, want), bound): ((&f64, &f64), &f64)| {
        if got == want {
            return 0.0;
        }
        let rho = (got - want).abs() / bound;
        if rho.is_nan() { f64::INFINITY } else { rho }
    };
    got.iter().zip(want).zip(bound).map(of_one).fold(0.0, f64::max)
}
// ANCHOR_END: rho

// ANCHOR: dot
/// ρ of Σ x w, where every product is rounded to f32 and the sum is taken in f32 from left to right.
pub fn dot(x: &[f32], w: &[f32]) -> f64 {
    let computed = x.iter().zip(w).fold(0.0_f32, |sum, (x, w)| sum + x * w);
    // A product of two f32 is exact in f64.
    let terms = || x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(w));
    let (exact, sizes): (f64, f64) = (terms().sum(), terms().map(f64::abs).sum());
    // One rounding of the product, and one for each addition but that to 0.
    let bound = growth(x.len() as u32, 2_f64.powi(-24)) * sizes;
    rho(&[f64::from(computed)], &[exact], &[bound])
}
// ANCHOR_END: dot
