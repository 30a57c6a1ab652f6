//! SVD and the best approximation: are the answers right?

use approx::assert_relative_eq;
use exercises::looks::{right, right_number};
use exercises::work::svd::{best, leading, rank_needed, similarity};
use ndarray::{Array2, array};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

#[test]
fn leading_triplet() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    for shape in [(5, 8), (8, 5), (6, 6)] {
        let noise = Array2::from_shape_simple_fn(shape, || StandardNormal.sample(&mut rng));
        let matrix: Array2<f64> = noise + 1.0; // one direction stands out
        let svd = rank::svd(matrix.view()).unwrap();
        let (sigma, u, v) = leading(matrix.view(), 200);
        assert_relative_eq!(sigma, svd.s[0], max_relative = 1e-9);
        assert_relative_eq!(u.dot(&u), 1.0, max_relative = 1e-9);
        assert_relative_eq!(v.dot(&v), 1.0, max_relative = 1e-9);
        // Up to a sign that u and v share.
        assert_relative_eq!(u.dot(&svd.u.column(0)).abs(), 1.0, max_relative = 1e-9);
        assert_relative_eq!(matrix.dot(&v), u * sigma, max_relative = 1e-6, epsilon = 1e-9);
    }
    let (sigma, u, v) = leading(array![[0.0, 0.0], [-3.0, 0.0]].view(), 5);
    assert_relative_eq!(sigma, 3.0, max_relative = 1e-12);
    assert_relative_eq!(u[1] * v[0], -1.0, max_relative = 1e-12);
}

#[test]
fn smallest_rank_that_will_do() {
    let sigma = [4.0, 2.0, 2.0, 1.0]; // squares 16, 4, 4, 1: 25 in all
    assert_eq!(rank_needed(&sigma, 1.0), 0);
    assert_eq!(rank_needed(&sigma, 0.6), 1); // √9/5
    assert_eq!(rank_needed(&sigma, 0.5), 2); // √5/5 = 0.447
    assert_eq!(rank_needed(&sigma, 0.2), 3);
    assert_eq!(rank_needed(&sigma, 0.1), 4);
    assert_eq!(rank_needed(&sigma, 0.0), 4);
    assert_eq!(rank_needed(&[], 0.1), 0);
}

#[test]
fn best_approximation_one_triplet_after_the_other() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut gaussian =
        |m, n| Array2::<f64>::from_shape_simple_fn((m, n), || StandardNormal.sample(&mut rng));
    // Singular values 8, 4, 2, 1: each is half of the one before, so power iteration is quick.
    let u = rank::svd(gaussian(6, 4).view()).unwrap().u;
    let vt = rank::svd(gaussian(4, 9).view()).unwrap().vt;
    let matrix = (&u * &array![8.0, 4.0, 2.0, 1.0]).dot(&vt);
    for k in 0..=4 {
        let want = rank::svd(matrix.view()).unwrap().truncate(k).unwrap().matrix;
        let one = rank::svd(matrix.view()).unwrap().truncate(1).unwrap().matrix;
        let mistakes = [
            ("the first triplet is found again and again", one * k as f64),
            ("it is what is left over", &matrix - &want),
        ];
        right("the approximation", &best(matrix.view(), k, 60), &want, &mistakes);
    }
    // After the first triplet nothing is left, and zero has no direction.
    let matrix = array![[2.0, 0.0], [0.0, 0.0]];
    right("the approximation beyond the rank", &best(matrix.view(), 2, 60), &matrix, &[]);
}

#[test]
fn how_alike_two_subspaces_are() {
    let u = array![[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]];
    let v = array![[1.0, 0.0, 0.0], [0.0, 0.6, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 1.0]];
    let mistakes = [
        ("the cosines are not squared", 0.8),
        ("it is divided by the larger dimension", 1.36 / 3.0),
        ("it is not divided", 1.36),
        ("its root is taken", 0.68_f64.sqrt()),
    ];
    right_number("φ", similarity(u.view(), v.view()), 0.68, &mistakes);
    right_number("φ the other way round", similarity(v.view(), u.view()), 0.68, &mistakes);
    right_number("φ with itself", similarity(v.view(), v.view()), 1.0, &[]);
}
