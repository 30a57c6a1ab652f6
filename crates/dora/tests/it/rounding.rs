//! `f32` against `f64`: every element within the bound that its own sums of absolute values allow.
//!
//! With n inputs, m outputs, b tokens, rank r and u = 2⁻²⁴, in any order of summation, to first order in u:
//!
//! ```text
//! V      δ = (r + 3)u |s||B||A| + u |W|
//! c      ε = ‖δ‖/‖V‖ + (n/2 + 3)u, relatively: δ, the norm of n squares, and a quotient; 2u more where it multiplies
//! U      LoRA's (n + r + 3)u |x||W|ᵀ + (2n + r + 7)u |s| |x||A|ᵀ|B|ᵀ = L
//! y      c (L + ε |U|)                       |U| = |x||W|ᵀ + |s| |x||A|ᵀ|B|ᵀ
//! ∂L/∂m  Σ |g| (L + (ε + (b + 2)u) |U|)/‖V‖
//! ```
//!
//! and the rest are LoRA's bounds (`lora/tests/rounding.rs`) with c|g| for |g|, and ε more.

use adapter::{Adapter, Real};
use dora::{Dora, Grads};
use lora::Lora;
use ndarray::{Array1, Array2, Axis, Dimension, Zip};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn check<D: Dimension>(
    name: &str,
    got: &ndarray::Array<f32, D>,
    want: &ndarray::Array<f64, D>,
    bound: &ndarray::Array<f64, D>,
) -> f64 {
    let mut worst = 0.0_f64;
    Zip::from(got).and(want).and(bound).for_each(|&got, &want, &bound| {
        let error = (f64::from(got) - want).abs();
        assert!(error <= bound, "{name}: got {got}, want {want}, bound {bound}");
        worst = worst.max(error / bound);
    });
    worst
}

#[test]
fn f32_stays_within_its_bounds() {
    // [tokens, out, in, r]
    for (seed, shape) in
        [[5, 24, 8, 2], [16, 16, 24, 4], [1, 7, 64, 8], [40, 3, 5, 6]].into_iter().enumerate()
    {
        let rho = compare(shape, seed as u64);
        println!("{shape:?}: largest error / bound of y, x, A, B, m, W: {rho:.3?}");
    }
}

fn compare([b, m, n, r]: [usize; 4], seed: u64) -> [f64; 6] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Rounded to f32 first, so that both precisions see the same numbers.
    let mut gaussian = |rows, columns| {
        let numbers = Array2::<f64>::random_using((rows, columns), StandardNormal, &mut rng);
        numbers.mapv(|number| f64::from(number as f32))
    };
    let (weight, x, grad_y) = (gaussian(m, n), gaussian(b, n), gaussian(b, m));
    let lora = Lora::new(gaussian(r, n), gaussian(m, r), 0.75).unwrap();
    let dora = Dora::new(lora, gaussian(1, m).row(0).to_owned()).unwrap();
    let (y, grad_x, grads, merged) = run(&dora, &weight, &x, &grad_y);
    let norm = dora.norm(weight.view()).unwrap();
    let merged_scale = (&dora.magnitude / &norm).mapv(f64::abs).insert_axis(Axis(1));

    let narrow = |matrix: &Array2<f64>| matrix.mapv(|number| number as f32);
    let lora32 = Lora::new(narrow(&dora.lora.a), narrow(&dora.lora.b), 0.75_f32).unwrap();
    let dora32 = Dora::new(lora32, dora.magnitude.mapv(|m| m as f32)).unwrap();
    let (y32, grad_x32, grads32, merged32) =
        run(&dora32, &narrow(&weight), &narrow(&x), &narrow(&grad_y));

    // The same products, of absolute values.
    let [weight, a, b_, x, g] = [&weight, &dora.lora.a, &dora.lora.b, &x, &grad_y]
        .map(|matrix: &Array2<f64>| matrix.mapv(f64::abs));
    let (n, m, b, r) = (n as f64, m as f64, b as f64, r as f64);
    let (s, u) = (dora.lora.scale, f32::UNIT_ROUNDOFF);
    let v = b_.dot(&a) * s + &weight;
    let delta = b_.dot(&a) * (s * (r + 3.0) * u) + &weight * u;
    let length = |matrix: &Array2<f64>| -> Array1<f64> {
        matrix.rows().into_iter().map(|row| row.dot(&row).sqrt()).collect()
    };
    let epsilon = length(&delta) / &norm + (n / 2.0 + 5.0) * u; // [out]
    let c = (&dora.magnitude / &norm).mapv(f64::abs); // [out]
    let u_size = x.dot(&weight.t()) + x.dot(&a.t()).dot(&b_.t()) * s;
    let u_bound = x.dot(&weight.t()) * ((n + r + 3.0) * u)
        + x.dot(&a.t()).dot(&b_.t()) * (s * (2.0 * n + r + 7.0) * u);
    let cg = &g * &c; // [tokens, out]
    let cge = &cg * &epsilon;
    [
        check("y", &y32, &y, &((&u_bound + &u_size * &epsilon) * &c)),
        check(
            "grad_x",
            &grad_x32,
            &grad_x,
            &(cg.dot(&weight) * ((m + r + 3.0) * u)
                + cg.dot(&b_).dot(&a) * (s * (2.0 * m + r + 7.0) * u)
                + cge.dot(&weight)
                + cge.dot(&b_).dot(&a) * s),
        ),
        check(
            "grad_A",
            &grads32.lora.a,
            &grads.lora.a,
            &(cg.dot(&b_).t().dot(&x) * (s * (m + b + 6.0) * u) + cge.dot(&b_).t().dot(&x) * s),
        ),
        check(
            "grad_B",
            &grads32.lora.b,
            &grads.lora.b,
            &(cg.t().dot(&x.dot(&a.t())) * (s * (n + b + 6.0) * u)
                + cge.t().dot(&x.dot(&a.t())) * s),
        ),
        check(
            "grad_m",
            &grads32.magnitude,
            &grads.magnitude,
            &((&g * &(&u_bound + &u_size * &(&epsilon + (b + 2.0) * u))).sum_axis(Axis(0)) / &norm),
        ),
        check(
            "merged",
            &merged32,
            &merged,
            // δ, ε, and the difference and the sum with W.
            &((&delta + &v * &(&epsilon + u).insert_axis(Axis(1))) * &merged_scale
                + (&v * &merged_scale + &weight) * (2.0 * u)),
        ),
    ]
}

fn run<T: Real>(
    dora: &Dora<T>,
    weight: &Array2<T>,
    x: &Array2<T>,
    grad_y: &Array2<T>,
) -> (Array2<T>, Array2<T>, Grads<T>, Array2<T>) {
    let (y, saved) = dora.forward(weight.view(), &x.to_shared(), None).unwrap();
    let (grad_x, grads) = dora.backward(weight.view(), &saved, grad_y.view()).unwrap();
    let mut merged = weight.clone();
    dora.merge(&mut merged).unwrap();
    (y, grad_x, grads, merged)
}
