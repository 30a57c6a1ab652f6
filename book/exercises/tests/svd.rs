//! SVD and the best approximation: are the answers right?

use approx::assert_relative_eq;
use exercises::work::svd::{leading, rank_needed};
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
