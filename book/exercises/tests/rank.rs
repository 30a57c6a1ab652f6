//! Rank: are the answers right?

use approx::assert_relative_eq;
use exercises::looks::right;
use exercises::work::rank::{factor, outer, rank, stack};
use ndarray::{Array2, array};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

#[test]
fn outer_product() {
    let (b, a) = (array![1.0, -2.0], array![3.0, 0.0, 5.0]);
    let want = array![[3.0, 0.0, 5.0], [-6.0, 0.0, -10.0]];
    let mistakes = [("it is a bᵀ, transposed", want.t().to_owned())];
    right("b aᵀ", &outer(b.view(), a.view()), &want, &mistakes);
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

#[test]
fn a_sum_of_outer_products_is_a_product() {
    let pairs = [
        (array![1.0, -2.0], array![3.0, 0.0, 5.0]),
        (array![0.0, 4.0], array![1.0, 1.0, -1.0]),
        (array![2.0, 2.0], array![0.0, 1.0, 0.0]),
    ];
    let (b, a) = stack(&pairs);
    let columns = array![[1.0, 0.0, 2.0], [-2.0, 4.0, 2.0]];
    right("B", &b, &columns, &[("the vectors b are its rows", columns.t().to_owned())]);
    let rows = array![[3.0, 0.0, 5.0], [1.0, 1.0, -1.0], [0.0, 1.0, 0.0]];
    right("A", &a, &rows, &[("the vectors a are its columns", rows.t().to_owned())]);
}

#[test]
fn a_matrix_of_rank_r_is_a_product_of_thin_ones() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut gaussian =
        |m, n| Array2::<f64>::from_shape_simple_fn((m, n), || StandardNormal.sample(&mut rng));
    for (m, n, r) in [(5, 7, 3), (7, 5, 5), (6, 6, 1)] {
        let matrix = gaussian(m, r).dot(&gaussian(r, n));
        let (b, a) = factor(matrix.view(), 1e-9);
        assert_eq!((b.dim(), a.dim()), ((m, r), (r, n)), "the inner dimension is the rank");
        assert_relative_eq!(b.dot(&a), matrix, epsilon = 1e-9);
    }
}
