//! QR, and the SVD of a product from its factors, against the SVD of the product.

use ndarray::{Array1, Array2, array, s};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rank::{Qr, Svd, Tolerance, product};

fn gaussian(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::random_using((rows, columns), StandardNormal, &mut rng)
}

fn frobenius(a: &Array2<f64>) -> f64 {
    a.iter().fold(0.0, |norm: f64, value| norm.hypot(*value))
}

/// ‖A − Q R‖ and ‖I − QᵀQ‖ in units of max(m, n)·ε, below 30 as LAPACK's own tests have it; and R is triangular.
#[test]
fn both_decompositions_give_back_the_matrix() {
    let mut matrices: Vec<Array2<f64>> =
        [(1, 1), (1, 6), (6, 1), (5, 5), (40, 7), (7, 40)].map(|(m, n)| gaussian(m, n, 1)).into();
    matrices.push(gaussian(9, 2, 2).dot(&gaussian(2, 5, 3)));
    matrices.push(array![[0.0, 1.0], [0.0, 2.0], [0.0, 2.0]]);
    matrices.push(Array2::zeros((4, 3)));
    matrices.extend([(0, 3), (3, 0)].map(Array2::zeros));
    matrices.push(gaussian(6, 3, 4) * 1e300);
    matrices.push(gaussian(6, 3, 4) * 1e-300);
    for a in &matrices {
        let (m, n) = a.dim();
        let k = m.min(n);
        let unit = 30.0 * m.max(n).max(1) as f64 * f64::EPSILON;
        for Qr { q, r } in [rank::qr(a.view()).unwrap(), rank::householder(a.view()).unwrap()] {
            assert_eq!((q.dim(), r.dim()), ((m, k), (k, n)));
            let below = r.indexed_iter().filter(|((i, j), _)| i > j);
            assert!(below.clone().all(|(_, value)| *value == 0.0), "{r}");
            let residual = frobenius(&(q.dot(&r) - a));
            assert!(residual <= unit * frobenius(a), "{m}×{n}: {residual}");
            let off = frobenius(&(q.t().dot(&q) - Array2::<f64>::eye(k)));
            assert!(off <= unit * (k.max(1) as f64).sqrt(), "{m}×{n}: {off}");
        }
    }
    for bad in [f64::NAN, f64::INFINITY] {
        for qr in [rank::qr, rank::householder] {
            let error = qr(array![[1.0, bad]].view()).unwrap_err().to_string();
            assert!(error.starts_with("A is not finite"), "{error}");
        }
    }
}

/// What the core must agree with.
fn check(b: &Array2<f64>, a: &Array2<f64>) {
    let svd = product::svd(b.view(), a.view()).unwrap();
    let dense = b.dot(a);
    let (m, r, n) = (b.nrows(), b.ncols(), a.ncols());
    let k = m.min(n).min(r);
    assert_eq!((svd.u.dim(), svd.s.len(), svd.vt.dim()), ((m, k), k, (k, n)));
    let scale = frobenius(b) * frobenius(a);
    for (i, sigma) in rank::svd(dense.view()).unwrap().s.iter().enumerate() {
        let core = svd.s.get(i).copied().unwrap_or(0.0);
        assert!((core - sigma).abs() <= 1e-13 * scale, "σ{}: {core} and {sigma}", i + 1);
    }
    let Svd { u, s, vt } = &svd;
    assert!(frobenius(&((u * s).dot(vt) - &dense)) <= 1e-13 * scale);
    for gram in [u.t().dot(u), vt.dot(&vt.t())] {
        assert!(frobenius(&(gram - Array2::<f64>::eye(k))) <= 1e-12);
    }
}

#[test]
fn the_core_has_the_singular_values_of_the_product() {
    for (seed, (m, r, n)) in [(1, 1, 1), (1, 3, 8), (30, 4, 21), (21, 4, 30), (5, 9, 6), (4, 6, 9)]
        .into_iter()
        .enumerate()
    {
        let (b, a) = (gaussian(m, r, seed as u64), gaussian(r, n, !(seed as u64)));
        check(&b, &a);
        check(&(&b * 0.0), &a);
        // Columns of B from 1 down to 1e-12, in the order in which they do not come out.
        let graded = Array1::from_shape_fn(r, |j| 10f64.powf(-12.0 + 12.0 * j as f64 / r as f64));
        check(&(&b * &graded), &a);
    }
    check(&Array2::zeros((4, 0)), &Array2::zeros((0, 3)));
}

#[test]
fn factors_that_do_not_fit_are_errors() {
    let error =
        |b: Array2<f64>, a: Array2<f64>| product::svd(b.view(), a.view()).unwrap_err().to_string();
    let text = error(Array2::zeros((5, 2)), Array2::zeros((3, 4)));
    assert!(text.starts_with("A has shape [3, 4] where [2, 4] is needed"), "{text}");
    let text = error(array![[f64::NAN]], array![[1.0]]);
    assert!(text.starts_with("B is not finite"), "{text}");
    let text = error(array![[1e200]], array![[1e200]]);
    assert!(text.starts_with("B A is not finite"), "{text}");
}

#[test]
fn the_rank_for_a_share_of_the_energy() {
    // Squares 16, 4, 4, 1 of 25; and a value that only rounding could have left.
    let svd = Svd { u: Array2::eye(5), s: array![4.0, 2.0, 2.0, 1.0, 1e-17], vt: Array2::eye(5) };
    let needed = [0.0, 0.63, 0.65, 0.81, 0.95, 0.97, 1.0].map(|energy| svd.rank_for_energy(energy));
    assert_eq!(needed, [0, 1, 2, 3, 3, 4, 4]);
    assert_eq!([0, 2, 4, 5, 9].map(|k| svd.tail(k)), [5.0, 5f64.sqrt(), 1e-17, 0.0, 0.0]);
    let zero = rank::svd(Array2::zeros((3, 2)).view()).unwrap();
    assert_eq!([zero.rank_for_energy(0.5), zero.rank_for_energy(1.0)], [0, 0]);
}

proptest! {
    /// Any factors: those of a matrix of lower rank too, since integers repeat.
    #[test]
    fn core_and_dense_agree(m in 1..9usize, r in 1..6usize, n in 1..9usize, seed in any::<u64>()) {
        check(&gaussian(m, r, seed).mapv(f64::round), &gaussian(r, n, !seed).mapv(f64::round));
    }

    /// Both factors multiply to the truncation, and share its norm evenly.
    #[test]
    fn factors_are_the_truncation(m in 1..9usize, n in 1..9usize, seed in any::<u64>()) {
        let svd = rank::svd(gaussian(m, n, seed).view()).unwrap();
        for k in 0..=svd.s.len() {
            let [b, a] = svd.factors(k).unwrap();
            prop_assert_eq!((b.dim(), a.dim()), ((m, k), (k, n)));
            let best = svd.truncate(k).unwrap();
            prop_assert!(frobenius(&(b.dot(&a) - &best.matrix)) <= 1e-13 * svd.frobenius_norm());
            prop_assert!((frobenius(&b) - frobenius(&a)).abs() <= 1e-13 * (1.0 + frobenius(&b)));
            prop_assert_eq!(best.frobenius_error, svd.tail(k));
            let kept = svd.s.slice(s![..k]).iter().map(|s| s * s).sum::<f64>();
            let energy = kept / svd.frobenius_norm().powi(2);
            prop_assert!(svd.rank_for_energy(energy * (1.0 - 1e-12)) <= k);
        }
        prop_assert!(svd.factors(svd.s.len() + 1).is_err());
    }

    /// The rank that is found keeps the share, and one less does not.
    #[test]
    fn the_rank_is_the_smallest(n in 1..9usize, seed in any::<u64>(), energy in 0.0..1.0f64) {
        let svd = rank::svd(gaussian(n, 8, seed).view()).unwrap();
        let k = svd.rank_for_energy(energy);
        let share = |k: usize| 1.0 - (svd.tail(k) / svd.frobenius_norm()).powi(2);
        prop_assert!(share(k) >= energy - 1e-12);
        prop_assert!(k == 0 || share(k - 1) < energy + 1e-12);
        prop_assert!(k <= svd.rank(Tolerance::Numpy));
    }
}
