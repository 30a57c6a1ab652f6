//! Both SVDs against each other, against known singular values, and against the theorems.

use approx::assert_relative_eq;
use ndarray::{Array1, Array2, Axis, array, concatenate};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rank::{Svd, Tolerance, jacobi};

type Method = fn(ndarray::ArrayView2<'_, f64>) -> adapter::Result<Svd>;

fn methods() -> Vec<(&'static str, Method)> {
    let jacobi: (_, Method) = ("jacobi", jacobi::svd);
    #[cfg(feature = "blas")]
    return vec![jacobi, ("lapack", rank::lapack::svd)];
    #[cfg(not(feature = "blas"))]
    vec![jacobi]
}

fn gaussian(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::random_using((rows, columns), StandardNormal, &mut rng)
}

fn frobenius(a: &Array2<f64>) -> f64 {
    a.iter().fold(0.0, |norm: f64, value| norm.hypot(*value))
}

/// LAPACK's own test: ‖A − U S Vᵀ‖, ‖I − UᵀU‖ and ‖I − V Vᵀ‖ in units of max(m, n)·ε, below 30.
fn check(name: &str, a: &Array2<f64>) {
    for (method, svd) in methods() {
        let result = svd(a.view()).unwrap();
        let Svd { u, s, vt } = &result;
        let (m, n) = a.dim();
        let k = m.min(n);
        assert_eq!((u.dim(), s.len(), vt.dim()), ((m, k), k, (k, n)), "{method} {name}");
        assert!(s.iter().all(|sigma| *sigma >= 0.0), "{method} {name}: {s}");
        assert!(s.iter().zip(s.iter().skip(1)).all(|(a, b)| a >= b), "{method} {name}: {s}");
        let unit = m.max(n).max(1) as f64 * f64::EPSILON;
        // Scaled by a power of two first: at 1e300 the norm itself overflows.
        let largest = a.iter().fold(0.0, |max: f64, value| max.max(value.abs()));
        let scale = if largest > 0.0 { largest.log2().floor().exp2() } else { 1.0 };
        let (a, s) = (a / scale, s / scale);
        let residual = frobenius(&(&a - &(u * &s).dot(vt)));
        let bound = 30.0 * unit * frobenius(&a);
        assert!(residual <= bound, "{method} {name}: residual {residual} above {bound}");
        for gram in [u.t().dot(u), vt.dot(&vt.t())] {
            let off = frobenius(&(gram - Array2::<f64>::eye(k)));
            assert!(off <= 30.0 * unit * (k.max(1) as f64).sqrt(), "{method} {name}: {off}");
        }
    }
}

#[test]
fn scaled_residuals() {
    for (i, shape) in
        [(1, 1), (1, 7), (7, 1), (5, 5), (12, 5), (5, 12), (40, 23)].into_iter().enumerate()
    {
        let a = gaussian(shape.0, shape.1, i as u64);
        check("gaussian", &a);
        check("tiny", &(&a * 1e-300));
        check("huge", &(&a * 1e300));
        check("zero", &(&a * 0.0));
        let graded = Array1::from_shape_fn(shape.1, |j| 10f64.powi(-2 * j as i32));
        check("graded columns", &(&a * &graded));
        check("graded rows", &(&a * &graded).t().to_owned());
    }
    for shape in [(0, 0), (0, 3), (3, 0)] {
        check("empty", &Array2::zeros(shape));
    }
    let low = gaussian(20, 3, 1).dot(&gaussian(3, 15, 2));
    check("rank 3", &low);
    check("equal columns", &Array2::from_shape_fn((9, 6), |(i, _)| i as f64));
    check("a zero column", &array![[1.0, 0.0, 2.0], [3.0, 0.0, 4.0], [5.0, 0.0, 6.0]]);
}

#[test]
fn nan_and_infinity_are_errors() {
    for bad in [f64::NAN, f64::INFINITY] {
        for (_, svd) in methods() {
            let error = svd(array![[1.0, bad], [0.0, 1.0]].view()).unwrap_err().to_string();
            assert!(error.starts_with("A is not finite"), "{error}");
        }
    }
}

/// H is Hadamard's matrix of order 8: H/√8 is orthogonal, so H·diag(d) has the singular values √8·d exactly.
#[test]
fn singular_values_known_in_closed_form() {
    let hadamard = Array2::from_shape_fn((8, 8), |(i, j)| {
        if (i & j).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 }
    });
    let d = Array1::from_iter((0..8).map(|i| 2f64.powi(3 - 5 * i)));
    for (method, svd) in methods() {
        let s = svd((&hadamard * &d).view()).unwrap().s;
        for (got, d) in s.iter().zip(&d) {
            let want = 8f64.sqrt() * d;
            // LAPACK is exact relative to σ₁, Jacobi (Demmel & Veselić 1992) relative to each σ.
            let scale = if method == "jacobi" { want } else { s[0] };
            assert!(
                (got - want).abs() <= 30.0 * 8.0 * f64::EPSILON * scale,
                "{method} {got} {want}"
            );
        }
    }
}

/// The 12 × 12 Hilbert matrix, condition number 1.6e16, against 60 digits (golden.py).
#[test]
fn singular_values_of_hilberts_matrix() {
    let hilbert = Array2::from_shape_fn((12, 12), |(i, j)| 1.0 / (i + j + 1) as f64);
    let golden: serde_json::Value = serde_json::from_str(include_str!("../golden.json")).unwrap();
    let want: Vec<f64> = serde_json::from_value(golden["hilbert12"].clone()).unwrap();
    for (method, svd) in methods() {
        let s = svd(hilbert.view()).unwrap().s;
        for (got, want) in s.iter().zip(&want) {
            assert!((got - want).abs() <= 12.0 * f64::EPSILON * s[0], "{method}: {got} {want}");
        }
    }
}

#[test]
fn the_three_rules_for_the_rank() {
    let exact = rank::svd(gaussian(30, 4, 3).dot(&gaussian(4, 20, 4)).view()).unwrap();
    for rule in [Tolerance::Numpy, Tolerance::Matlab, Tolerance::NumericalRecipes] {
        assert_eq!(exact.rank(rule), 4, "{rule:?}");
    }
    let svd = rank::svd(Array2::from_diag(&array![3.0, 2.0, 1.0]).view()).unwrap();
    assert_eq!(svd.rank(Tolerance::Absolute(1.5)), 2);
    assert_eq!(svd.rank(Tolerance::Absolute(1.0)), 2, "a σ at the tolerance counts as zero");
    // σ₁ = 1: numpy 3ε = MATLAB 3ε; Numerical Recipes √7/2·ε ≈ 1.3ε.
    let edge = |factor: f64| Array2::from_diag(&array![1.0, factor * f64::EPSILON, 0.0]);
    let rank = |factor, rule| rank::svd(edge(factor).view()).unwrap().rank(rule);
    assert_eq!([rank(2.0, Tolerance::Numpy), rank(4.0, Tolerance::Numpy)], [1, 2]);
    assert_eq!([rank(2.0, Tolerance::Matlab), rank(4.0, Tolerance::Matlab)], [1, 2]);
    let recipes = Tolerance::NumericalRecipes;
    assert_eq!([rank(1.0, recipes), rank(2.0, recipes)], [1, 2]);
}

#[test]
fn effective_and_stable_rank() {
    let of = |sigma: &[f64]| {
        let svd = rank::svd(Array2::from_diag(&Array1::from(sigma.to_vec())).view()).unwrap();
        [svd.effective_rank(), svd.stable_rank()]
    };
    assert_eq!(of(&[0.0, 0.0]), [0.0, 0.0]);
    for scale in [1e-300, 1.0, 1e300] {
        let [effective, stable] = of(&[scale; 5]);
        assert_relative_eq!(effective, 5.0, max_relative = 1e-14);
        assert_relative_eq!(stable, 5.0, max_relative = 1e-14);
        // p = (2/3, 1/3): exp(entropy) = 3/2^(2/3); 1 + 1/4.
        let [effective, stable] = of(&[2.0 * scale, scale]);
        assert_relative_eq!(effective, 3.0 / 4f64.cbrt(), max_relative = 1e-14);
        assert_relative_eq!(stable, 1.25, max_relative = 1e-14);
    }
}

fn matrix() -> impl Strategy<Value = Array2<f64>> {
    (1..9usize, 1..9usize).prop_flat_map(|(m, n)| {
        let numbers = prop::collection::vec(-8..=8i32, m * n);
        numbers.prop_map(move |v| {
            Array2::from_shape_vec((m, n), v.into_iter().map(f64::from).collect()).unwrap()
        })
    })
}

fn of_rank(a: &Array2<f64>) -> usize {
    rank::svd(a.view()).unwrap().rank(Tolerance::Numpy)
}

proptest! {
    /// The truncation's error is what its formula says, in both norms.
    #[test]
    fn eckart_young_error(a in matrix()) {
        let svd = rank::svd(a.view()).unwrap();
        for k in 0..=svd.s.len() {
            let best = svd.truncate(k).unwrap();
            let left = rank::svd((&a - &best.matrix).view()).unwrap();
            let slack = 60.0 * 8.0 * f64::EPSILON * svd.frobenius_norm();
            let spectral = left.s.first().copied().unwrap_or(0.0);
            prop_assert!((spectral - best.spectral_error).abs() <= slack);
            prop_assert!((left.frobenius_norm() - best.frobenius_error).abs() <= slack);
        }
        prop_assert!(svd.truncate(svd.s.len() + 1).is_err());
    }

    /// No other matrix of rank k is nearer, in either norm (Eckart & Young; Mirsky): neither a random one nor one
    /// close to the best.
    #[test]
    fn nothing_is_nearer(a in matrix(), k in 1..4usize, seed in any::<u64>(), size in -6..1i32) {
        let svd = rank::svd(a.view()).unwrap();
        let k = k.min(svd.s.len());
        let best = svd.truncate(k).unwrap();
        let (m, n) = a.dim();
        let nudge = 10f64.powi(size);
        let left = &svd.u.slice(ndarray::s![.., ..k]) * &svd.s.slice(ndarray::s![..k]);
        let left = left + nudge * &gaussian(m, k, seed);
        let right = &svd.vt.slice(ndarray::s![..k, ..]) + &(nudge * gaussian(k, n, !seed));
        let other = rank::svd((&a - &left.dot(&right)).view()).unwrap();
        let slack = 60.0 * 8.0 * f64::EPSILON * svd.frobenius_norm();
        prop_assert!(other.s[0] >= best.spectral_error - slack);
        prop_assert!(other.frobenius_norm() >= best.frobenius_error - slack);
    }

    /// rank(A B) ≤ min, rank(A + B) ≤ sum, and Sylvester's rank(A) + rank(B) − n ≤ rank(A B).
    #[test]
    fn rank_inequalities(a in matrix(), seed in any::<u64>(), columns in 1..9usize) {
        let integers = |rows, columns, seed| gaussian(rows, columns, seed).mapv(f64::round);
        let b = integers(a.ncols(), columns, seed);
        let (ra, rb, product) = (of_rank(&a), of_rank(&b), of_rank(&a.dot(&b)));
        prop_assert!(product <= ra.min(rb));
        prop_assert!(product + a.ncols() >= ra + rb);
        let c = integers(a.nrows(), a.ncols(), !seed);
        prop_assert!(of_rank(&(&a + &c)) <= ra + of_rank(&c));
        let beside = concatenate(Axis(1), &[a.view(), c.view()]).unwrap();
        prop_assert!(of_rank(&beside) >= ra);
    }

    #[test]
    fn orthogonality_and_residual(a in matrix()) {
        check("proptest", &a);
    }

    /// 1 ≤ stable rank ≤ rank and 1 ≤ effective rank ≤ rank, up to rounding.
    #[test]
    fn the_ranks_are_ordered(a in matrix()) {
        let svd = rank::svd(a.view()).unwrap();
        prop_assume!(svd.s[0] > 0.0);
        let rank = svd.rank(Tolerance::Numpy) as f64 + 1e-9;
        prop_assert!((1.0 - 1e-12..=rank).contains(&svd.stable_rank()));
        prop_assert!((1.0 - 1e-12..=rank).contains(&svd.effective_rank()));
    }
}
