//! Rank: are the answers right?

use exercises::work::rank::{outer, rank};
use ndarray::{Array2, array};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

#[test]
fn outer_product() {
    let (b, a) = (array![1.0, -2.0], array![3.0, 0.0, 5.0]);
    assert_eq!(outer(b.view(), a.view()), array![[3.0, 0.0, 5.0], [-6.0, 0.0, -10.0]]);
}

#[test]
fn rank_by_elimination_is_the_rank_by_singular_values() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut gaussian =
        |m, n| Array2::<f64>::from_shape_simple_fn((m, n), || StandardNormal.sample(&mut rng));
    for (m, n, r) in [(5, 7, 3), (7, 5, 5), (6, 6, 1), (4, 9, 0)] {
        let matrix = gaussian(m, r).dot(&gaussian(r, n));
        assert_eq!(rank(matrix.view(), 1e-9), r, "{m}×{n} of rank {r}");
    }
    assert_eq!(rank(Array2::eye(5).view(), 0.0), 5);
    assert_eq!(rank(array![[1.0, 2.0], [2.0, 4.0]].view(), 0.0), 1);
    assert_eq!(rank(Array2::zeros((3, 2)).view(), 0.0), 0);
    assert_eq!(rank(array![[1.0, 0.0], [0.0, 1e-12]].view(), 1e-9), 1);
}
