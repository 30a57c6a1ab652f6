//! `f32` against `f64`: every element within the bound that its own sums of absolute values allow.
//!
//! The bounds are those of the conformance suite: with n inputs, m outputs, b tokens and u = 2⁻²⁴, each product of
//! length k costs k roundings, and what is stored between two products one more.

use adapter::{Adapter, Dropout, Real};
use lora::{Init, Lora, Scaling};
use ndarray::{Array2, ArrayView2, Zip};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn check(name: &str, got: &Array2<f32>, want: &Array2<f64>, bound: &Array2<f64>) -> f64 {
    let mut worst = 0.0_f64;
    Zip::from(got).and(want).and(bound).for_each(|&got, &want, &bound| {
        let error = (f64::from(got) - want).abs();
        assert!(error <= bound, "{name}: got {got}, want {want}, bound {bound}");
        worst = worst.max(error / bound);
    });
    worst
}

fn magnitude(matrix: ArrayView2<'_, f64>) -> Array2<f64> {
    matrix.mapv(f64::abs)
}

#[test]
fn f32_stays_within_its_bounds() {
    let u = f32::UNIT_ROUNDOFF;
    for (seed, [b, m, n, r]) in
        [[5, 24, 8, 2], [16, 16, 24, 4], [1, 7, 64, 8], [40, 3, 5, 6]].into_iter().enumerate()
    {
        let mut rng = ChaCha8Rng::seed_from_u64(seed as u64);
        // Rounded to f32 first, so that both precisions see the same numbers.
        let mut gaussian = |rows, columns| {
            let numbers = Array2::<f64>::random_using((rows, columns), StandardNormal, &mut rng);
            numbers.mapv(|number| f64::from(number as f32))
        };
        let (weight, x, grad_y) = (gaussian(m, n), gaussian(b, n), gaussian(b, m));
        let lora = Lora::new(gaussian(r, n), gaussian(m, r), 0.75).unwrap();
        let p = 0.25;
        let dropout = Dropout::draw((b, n), p, &mut rng).unwrap();

        let narrow = |matrix: &Array2<f64>| matrix.mapv(|number| number as f32);
        let lora32 = Lora::new(narrow(&lora.a), narrow(&lora.b), 0.75_f32).unwrap();
        let weight32 = narrow(&weight);
        let shared = narrow(&x).into_shared();
        let (y32, saved) = lora32.forward(weight32.view(), &shared, Some(&dropout)).unwrap();
        let (gx32, g32) = lora32.backward(weight32.view(), &saved, narrow(&grad_y).view()).unwrap();
        let shared = x.to_shared();
        let (y, saved) = lora.forward(weight.view(), &shared, Some(&dropout)).unwrap();
        let (gx, g) = lora.backward(weight.view(), &saved, grad_y.view()).unwrap();

        let [weight, a, bb, x, gy] =
            [&weight, &lora.a, &lora.b, &x, &grad_y].map(|matrix| magnitude(matrix.view()));
        let kept = dropout.apply(x.view()).unwrap();
        let (n, m, b, r) = (n as f64, m as f64, b as f64, r as f64);
        let s = lora.scale;
        // Two more roundings on terms with x̃: the subtraction 1 − p and the division.
        let y_bound = x.dot(&weight.t()) * ((n + r) * u + 3.0 * u)
            + kept.dot(&a.t()).dot(&bb.t()) * (s * ((2.0 * n + r) * u + 9.0 * u));
        let through = dropout.apply(gy.dot(&bb).dot(&a).view()).unwrap();
        let gx_bound = gy.dot(&weight) * ((m + r) * u + 3.0 * u)
            + through * (s * ((2.0 * m + r) * u + 9.0 * u));
        let ga_bound = gy.dot(&bb).t().dot(&kept) * (s * ((m + b) * u + 8.0 * u));
        let gb_bound = gy.t().dot(&kept.dot(&a.t())) * (s * ((n + b) * u + 8.0 * u));
        let rho = [
            check("y", &y32, &y, &y_bound),
            check("grad_x", &gx32, &gx, &gx_bound),
            check("grad_A", &g32.a, &g.a, &ga_bound),
            check("grad_B", &g32.b, &g.b, &gb_bound),
        ];
        println!("largest error / bound of y, grad_x, grad_A, grad_B: {rho:.3?}");
    }
}

#[test]
fn a_seed_gives_the_same_adapter_in_both_precisions() {
    for init in [Init::KaimingUniformA5, Init::Gaussian, Init::Embedding] {
        let rng = || ChaCha8Rng::seed_from_u64(5);
        let wide = Lora::<f64>::init([6, 9], 3, 4.0, Scaling::RsLora, init, &mut rng()).unwrap();
        let narrow = Lora::<f32>::init([6, 9], 3, 4.0, Scaling::RsLora, init, &mut rng()).unwrap();
        assert_eq!(wide.a.mapv(|number| number as f32), narrow.a);
        assert_eq!(wide.b.mapv(|number| number as f32), narrow.b);
    }
}
