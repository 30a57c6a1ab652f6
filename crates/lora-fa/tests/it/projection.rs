//! The projected gradient, the steps of both variants, and the Cholesky solve.
//!
//! Exact where it can be. With H the first r rows of a Hadamard matrix (entries ±1, H Hᵀ = n I) and L lower triangular
//! with powers of two on its diagonal, A = L H has the row space of H, whose projection HᵀH/n is known without solving
//! anything. For n a power of four √n is one of two, no step of the factorisation rounds, and the tests use `==`.

use adapter::gradcheck::integers;
use adapter::{AdamVariant, AdamW, Adapter, Group, Real, Sgd};
use lora_fa::{Cholesky, Grads, LoraFa, Variant};
use ndarray::{Array1, Array2};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A = L H \[r, n\] and P = HᵀH/n \[n, n\], the projection onto its row space.
fn exact(r: usize, n: usize, rng: &mut ChaCha8Rng) -> (Array2<f64>, Array2<f64>) {
    let sign = |(i, j): (usize, usize)| if (i & j).count_ones() % 2 == 0 { 1.0 } else { -1.0 };
    let h = Array2::from_shape_fn((r, n), sign);
    let mut l = integers(rng, r, r);
    for ((i, j), value) in l.indexed_iter_mut() {
        if i == j {
            *value = f64::from(1 << (i % 2));
        } else if j > i {
            *value = 0.0;
        }
    }
    (l.dot(&h), h.t().dot(&h) / n as f64)
}

/// s ĝ A = g P, and what is left of g is at right angles to every row of A: no other ĝ comes nearer.
#[test]
fn the_projected_gradient_is_the_nearest() {
    let mut rng = rng(1);
    for (r, n) in [(1, 4), (3, 4), (4, 4), (1, 16), (5, 16)] {
        for s in [0.5, 4.0] {
            let (a, projection) = exact(r, n, &mut rng);
            let g = integers(&mut rng, 6, n);
            let b = Array2::zeros((6, r));
            let adapter = LoraFa::new(a.clone(), b, s, Variant::Projected).unwrap();
            let grad_b = g.dot(&a.t()) * s;
            let moved = adapter.direction(grad_b.view()).unwrap().dot(&a) * s;
            assert_eq!(moved, g.dot(&projection), "r {r}, in {n}, s {s}");
            assert_eq!((&moved - &g).dot(&a.t()), Array2::<f64>::zeros((6, r)));
            // r = in: the rows of A span everything, and the whole gradient is followed.
            assert!(r < n || moved == g);
        }
    }
}

/// One step of SGD: plain moves ΔW by −η s² g AᵀA, projected by −η g P.
#[test]
fn one_step_of_sgd() {
    let mut rng = rng(2);
    let (tokens, out, rank, inputs, lr, s) = (6, 5, 3, 16, 0.25, 2.0);
    let (a, projection) = exact(rank, inputs, &mut rng);
    let b = integers(&mut rng, out, rank);
    let x = integers(&mut rng, tokens, inputs).into_shared();
    let grad_y = integers(&mut rng, tokens, out);
    let mut weight = integers(&mut rng, out, inputs);
    let kept = weight.clone();
    let g = grad_y.t().dot(&x); // [out, tokens]·[tokens, in] → [out, in]
    for (variant, want) in [
        (Variant::Plain, g.dot(&a.t()).dot(&a) * (-lr * s * s)),
        (Variant::Projected, g.dot(&projection) * -lr),
    ] {
        let mut adapter = LoraFa::new(a.clone(), b.clone(), s, variant).unwrap();
        let before = adapter.delta_weight(weight.view()).unwrap();
        let (_, saved) = adapter.forward(weight.view(), &x, None).unwrap();
        let (_, grads) = adapter.backward(weight.view(), &saved, grad_y.view()).unwrap();
        let mut sgd = Sgd { group: Group { lr, weight_decay: 0.0 } };
        adapter.step(&mut weight, &grads, &mut sgd).unwrap();
        let after = adapter.delta_weight(weight.view()).unwrap();
        assert_eq!(after - before, want, "{variant:?}");
        assert_eq!(weight, kept);
    }
}

/// Under Adam with ε = 0 a factor on the gradient cancels, and with it the 1/s² of the projection: two scales that differ
/// by a power of two take the same path bit for bit. With ε > 0 they do not.
#[test]
fn adam_forgets_the_scale() {
    let mut rng = rng(3);
    let (a, _) = exact(3, 16, &mut rng);
    let g = integers(&mut rng, 5, 16);
    for variant in [Variant::Plain, Variant::Projected] {
        for (eps, same) in [(0.0, true), (1e-3, false)] {
            let paths = [0.5, 4.0].map(|s| {
                let b = Array2::ones((5, 3));
                let mut adapter = LoraFa::new(a.clone(), b, s, variant).unwrap();
                let group = Group { lr: 0.1, weight_decay: 0.0 };
                let mut adamw = AdamW::new(group, AdamVariant::Hf);
                adamw.eps = eps;
                for step in 1..4 {
                    let grads = Grads { b: g.dot(&a.t()) * (s * f64::from(step)) };
                    adapter.step(&mut Array2::zeros((5, 16)), &grads, &mut adamw).unwrap();
                }
                adapter.lora().b.clone()
            });
            assert_eq!(paths[0] == paths[1], same, "{variant:?}, ε {eps}");
        }
    }
}

/// Z solves Z (A Aᵀ) = G as well as its own rounding allows. Cholesky's computed solution is the exact one of a matrix
/// that differs from A Aᵀ by at most (3r + 1)u |L||Lᵀ| (Higham, *Accuracy and Stability of Numerical Algorithms*, theorem
/// 10.4), and by Cauchy–Schwarz (|L||Lᵀ|)[i, j] ≤ ‖a_i‖‖a_j‖. A Aᵀ is rounded once here and once in the code, in sums of n
/// products, and the product with Z in sums of r, here in f64. Twice the sum covers the terms in u².
fn residual<T: Real>(a: &Array2<T>, g: &Array2<T>) -> f64 {
    let (r, n) = a.dim();
    let wide = |matrix: &Array2<T>| matrix.mapv(T::to_f64);
    let z = wide(&Cholesky::of_gram(a.view()).unwrap().solve(g.clone()).unwrap());
    let (a, g) = (wide(a), wide(g));
    let residual = z.dot(&a.dot(&a.t())) - &g;
    let norms: Array1<f64> = a.outer_iter().map(|row| row.dot(&row).sqrt()).collect();
    let sums = z.mapv(f64::abs).dot(&norms); // Σ_i |z_i|‖a_i‖ for each row
    let share = 2.0 * (3 * r + 1 + 2 * n + r) as f64 * T::UNIT_ROUNDOFF;
    let mut worst = 0.0_f64;
    for ((row, column), residual) in residual.indexed_iter() {
        let bound = share * sums[row] * norms[column];
        assert!(residual.abs() <= bound, "{}: {residual:e}, bound {bound:e}", T::NAME);
        worst = worst.max(residual.abs() / bound);
    }
    worst
}

#[test]
fn the_solve_leaves_no_more_than_rounding() {
    let mut rng = rng(4);
    for (r, n) in [(1, 7), (8, 8), (16, 40), (64, 300)] {
        let a = Array2::<f64>::random_using((r, n), StandardNormal, &mut rng);
        let g = Array2::<f64>::random_using((5, r), StandardNormal, &mut rng);
        let (a32, g32) = (a.mapv(|v| v as f32), g.mapv(|v| v as f32));
        let worst = [residual(&a, &g), residual(&a32, &g32)];
        println!("r {r}, in {n}: largest error / bound in f64, f32: {worst:.3?}");
    }
    // Two rows that are nearly the same: Z is large and inaccurate, and still solves the equation.
    let mut a = Array2::<f64>::random_using((4, 9), StandardNormal, &mut rng);
    let apart = Array1::<f64>::random_using(9, StandardNormal, &mut rng);
    let nearly = &a.row(0) + &(apart * 1e-5);
    a.row_mut(3).assign(&nearly);
    residual(&a, &Array2::random_using((5, 4), StandardNormal, &mut rng));
}

proptest! {
    /// Whatever the steps, the rows of ΔW stay combinations of the rows of A.
    #[test]
    fn the_row_space_stays_that_of_a(
        seed in any::<u64>(), steps in 1..5usize, projected in any::<bool>(), rank in 1..5usize,
    ) {
        let mut rng = rng(seed);
        let (tokens, out, inputs) = (5, 4, 16);
        let variant = if projected { Variant::Projected } else { Variant::Plain };
        let (a, projection) = exact(rank, inputs, &mut rng);
        let b = integers(&mut rng, out, rank);
        let mut adapter = LoraFa::new(a, b, 2.0, variant).unwrap();
        let mut weight = integers(&mut rng, out, inputs);
        let mut sgd = Sgd { group: Group { lr: 0.25, weight_decay: 0.5 } };
        for _ in 0..steps {
            let x = integers(&mut rng, tokens, inputs).into_shared();
            let grad_y = integers(&mut rng, tokens, out);
            let (_, saved) = adapter.forward(weight.view(), &x, None).unwrap();
            let (_, grads) = adapter.backward(weight.view(), &saved, grad_y.view()).unwrap();
            adapter.step(&mut weight, &grads, &mut sgd).unwrap();
        }
        let delta = adapter.delta_weight(weight.view()).unwrap();
        prop_assert_eq!(delta.dot(&projection), delta);
    }
}
