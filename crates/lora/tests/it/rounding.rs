//! `f32` against `f64`: every element within the bound that its own sums of absolute values allow.
//!
//! With n inputs, m outputs, b tokens, rank r and u = 2⁻²⁴, in any order of summation:
//!
//! ```text
//! y       (n + r + 3)u |x||W|ᵀ + (2n + r + 7)u |s| |x̃||A|ᵀ|B|ᵀ
//! ∂L/∂x   (m + r + 3)u |g||W| + (2m + r + 7)u |s| |g||B||A| ⊙ mask/(1 − p)      g = ∂L/∂y
//! ∂L/∂A   (m + b + 6)u |s| (|g||B|)ᵀ |x̃|
//! ∂L/∂B   (n + b + 6)u |s| |g|ᵀ (|x̃||A|ᵀ)
//! ```

use std::sync::Arc;

use adapter::{Adapter, Dropout, Real};
use lora::{Grads, Init, Lora, Scaling};
use ndarray::{Array2, Zip};
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

/// [tokens, out, in, r].
const SHAPES: [[usize; 4]; 4] = [[5, 24, 8, 2], [16, 16, 24, 4], [1, 7, 64, 8], [40, 3, 5, 6]];

#[test]
fn f32_stays_within_its_bounds() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        for p in [None, Some(0.3)] {
            let rho = compare(shape, p, seed as u64);
            println!("{shape:?}, dropout {p:?}: largest error / bound of y, x, A, B, W: {rho:.3?}");
        }
    }
}

fn compare([b, m, n, r]: [usize; 4], p: Option<f64>, seed: u64) -> [f64; 5] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Rounded to f32 first, so that both precisions see the same numbers.
    let mut gaussian = |rows, columns| {
        let numbers = Array2::<f64>::random_using((rows, columns), StandardNormal, &mut rng);
        numbers.mapv(|number| f64::from(number as f32))
    };
    let (weight, x, grad_y) = (gaussian(m, n), gaussian(b, n), gaussian(b, m));
    let lora = Lora::new(gaussian(r, n), gaussian(m, r), 0.75).unwrap();
    let dropout = p.map(|p| Dropout::draw((b, n), p, &mut rng).unwrap());
    let (y, grad_x, grads, merged) = run(&lora, &weight, &x, &grad_y, dropout.as_ref());

    let narrow = |matrix: &Array2<f64>| matrix.mapv(|number| number as f32);
    let lora32 = Lora::new(narrow(&lora.a), narrow(&lora.b), 0.75_f32).unwrap();
    let (weight32, x32, grad_y32) = (narrow(&weight), narrow(&x), narrow(&grad_y));
    let (y32, grad_x32, grads32, merged32) =
        run(&lora32, &weight32, &x32, &grad_y32, dropout.as_ref());

    // The same products, of absolute values.
    let [weight, a, b_, x, g] =
        [&weight, &lora.a, &lora.b, &x, &grad_y].map(|matrix| matrix.mapv(f64::abs));
    let mask = |matrix: Array2<f64>| match &dropout {
        Some(dropout) => dropout.apply(matrix.view()).unwrap(),
        None => matrix,
    };
    let kept = mask(x.clone());
    let (n, m, b, r) = (n as f64, m as f64, b as f64, r as f64);
    let (s, u) = (lora.scale, f32::UNIT_ROUNDOFF);
    // Two more roundings on terms with x̃: 1 − p, and the division by it.
    let d = if dropout.is_some() { 2.0 } else { 0.0 };
    [
        check(
            "y",
            &y32,
            &y,
            &(x.dot(&weight.t()) * ((n + r + 3.0) * u)
                + kept.dot(&a.t()).dot(&b_.t()) * (s * (2.0 * n + r + 7.0 + d) * u)),
        ),
        check(
            "grad_x",
            &grad_x32,
            &grad_x,
            &(g.dot(&weight) * ((m + r + 3.0) * u)
                + mask(g.dot(&b_).dot(&a)) * (s * (2.0 * m + r + 7.0 + d) * u)),
        ),
        check(
            "grad_A",
            &grads32.a,
            &grads.a,
            &(g.dot(&b_).t().dot(&kept) * (s * (m + b + 6.0 + d) * u)),
        ),
        check(
            "grad_B",
            &grads32.b,
            &grads.b,
            &(g.t().dot(&kept.dot(&a.t())) * (s * (n + b + 6.0 + d) * u)),
        ),
        // r products, s, and the sum with W.
        check("merged", &merged32, &merged, &((b_.dot(&a) * (s * (r + 3.0)) + &weight * 1.5) * u)),
    ]
}

fn run<T: Real>(
    lora: &Lora<T>,
    weight: &Array2<T>,
    x: &Array2<T>,
    grad_y: &Array2<T>,
    dropout: Option<&Arc<Dropout>>,
) -> (Array2<T>, Array2<T>, Grads<T>, Array2<T>) {
    let (y, saved) = lora.forward(weight.view(), &x.to_shared(), dropout).unwrap();
    let (grad_x, grads) = lora.backward(weight.view(), &saved, grad_y.view()).unwrap();
    let mut merged = weight.clone();
    lora.merge(&mut merged).unwrap();
    (y, grad_x, grads, merged)
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
