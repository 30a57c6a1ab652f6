//! Subspace similarity, principal angles, and the randomised SVD.

use ndarray::{Array1, Array2, array, s};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rank::randomized::{self, Effort};
use rank::subspace::{principal_angles, similarity};

fn gaussian(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::random_using((rows, columns), StandardNormal, &mut rng)
}

fn orthonormal(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    rank::svd(gaussian(rows, columns, seed).view()).unwrap().u
}

/// Two planes of R⁴ that meet at chosen angles, from 1e-9 to a right angle.
#[test]
fn angles_of_any_size() {
    let u_a: Array2<f64> = Array2::eye(4).slice(s![.., ..2]).to_owned();
    let right = std::f64::consts::FRAC_PI_2;
    for angles in [[0.0, 0.0], [1e-9, 1e-5], [0.3, 1.2], [0.7, right - 1e-9], [right, right]] {
        let [(sin0, cos0), (sin1, cos1)] = angles.map(f64::sin_cos);
        let u_b = array![[cos0, 0.0], [0.0, cos1], [sin0, 0.0], [0.0, sin1]];
        let got = principal_angles(u_a.view(), u_b.view()).unwrap();
        for (got, want) in got.iter().zip(angles) {
            // A few roundings of numbers up to 1; cosines alone would leave 1e-8.
            assert!((got - want).abs() <= 16.0 * f64::EPSILON, "{got} {want}");
        }
        let phi = similarity(u_a.view(), u_b.view()).unwrap();
        let mean = (cos0 * cos0 + cos1 * cos1) / 2.0;
        assert!((phi - mean).abs() <= 16.0 * f64::EPSILON, "{phi} {mean}");
    }
}

#[test]
fn similarity_is_the_mean_squared_cosine_and_symmetric() {
    for (i, j) in [(1, 1), (3, 5), (5, 3), (6, 6)] {
        let (u_a, u_b) = (orthonormal(12, i, 1), orthonormal(12, j, 2));
        let phi = similarity(u_a.view(), u_b.view()).unwrap();
        let angles = principal_angles(u_a.view(), u_b.view()).unwrap();
        assert_eq!(angles.len(), i.min(j));
        assert!(angles.iter().zip(angles.iter().skip(1)).all(|(a, b)| a <= b));
        let mean = angles.mapv(|angle| angle.cos().powi(2)).mean().unwrap();
        assert!((phi - mean).abs() <= 1e-14, "{phi} {mean}");
        assert!((phi - similarity(u_b.view(), u_a.view()).unwrap()).abs() <= 1e-15);
    }
    let u = orthonormal(12, 5, 3);
    let inside = similarity(u.view(), u.slice(s![.., 1..3])).unwrap();
    assert!((inside - 1.0).abs() <= 1e-14, "{inside}");
}

#[test]
fn bad_subspaces_are_errors() {
    let u = orthonormal(6, 2, 1);
    let error = |b: Array2<f64>| similarity(u.view(), b.view()).unwrap_err().to_string();
    assert!(error(orthonormal(5, 2, 1)).contains("U_B has shape [5, 2] where [6, 2]"));
    assert!(error(2.0 * &u).contains("U_B is not orthonormal"));
    assert!(error(Array2::zeros((6, 0))).contains("without columns"));
    assert!(error(Array2::from_elem((6, 2), f64::NAN)).contains("U_B is not finite"));
}

/// Halko, Martinsson & Tropp, theorem 10.5, for q = 0: the mean error over seeds stays below the bound on its
/// expectation. The mean of 200 runs scatters by about 1%, and the bound is 30% above what is seen.
#[test]
fn randomised_svd_within_its_expected_error() {
    let (m, n, k, p) = (40, 30, 5, 5);
    let sigma = Array1::from_iter((0..n).map(|i| 0.8f64.powi(i)));
    let a =
        (&orthonormal(m, n as usize, 1) * &sigma).dot(&orthonormal(n as usize, n as usize, 2).t());
    let tail = sigma.slice(s![k..]).mapv(|x: f64| x * x).sum().sqrt();
    let effort = Effort { oversampling: p, power_iterations: 0 };
    let error = |seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let sample =
            randomized::svd(a.view(), k + p, Effort { oversampling: 0, ..effort }, &mut rng);
        let q = sample.unwrap().u; // the basis of the k + p sampled columns
        let rest = &a - &q.dot(&q.t().dot(&a));
        rest.iter().map(|x| x * x).sum::<f64>().sqrt()
    };
    let mean = (0..200).map(error).sum::<f64>() / 200.0;
    let bound = (1.0 + k as f64 / (p as f64 - 1.0)).sqrt() * tail;
    assert!(mean <= bound, "mean {mean}, bound {bound}");
    println!("mean error {mean:.4}, bound {bound:.4}, best possible {tail:.4}");
}

/// A matrix of rank k is found exactly, and the largest k rank can ask for is no special case.
#[test]
fn randomised_svd_of_low_rank_is_exact() {
    let a = gaussian(25, 4, 1).dot(&gaussian(4, 18, 2));
    let exact = rank::svd(a.view()).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for k in [0, 4, 18] {
        let svd = randomized::svd(a.view(), k, Effort::default(), &mut rng).unwrap();
        for (got, want) in svd.s.iter().zip(&exact.s) {
            assert!((got - want).abs() <= 1e-12 * exact.s[0], "{k}: {got} {want}");
        }
    }
    assert!(randomized::svd(a.view(), 19, Effort::default(), &mut rng).is_err());
}
