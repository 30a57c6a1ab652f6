//! What is computed on many threads is what one thread computes, to the last bit.

use adapter::parallel::{map, multiply};
use adapter::{cross_entropy, cross_entropy_loss};
use ndarray::Array2;

/// Large enough to be divided.
fn arrays() -> (Array2<f64>, Array2<f64>) {
    let wave = |rows: usize, columns: usize| {
        Array2::from_shape_fn((rows, columns), |(i, j)| ((7 * i + 3 * j) as f64).sin())
    };
    (wave(40, 300), wave(300, 701))
}

#[test]
fn a_divided_product_is_the_product() {
    let (a, b) = arrays();
    let close =
        |one: Array2<f64>, other: Array2<f64>| (one - other).iter().all(|d| d.abs() < 1e-12);
    assert!(close(multiply(a.view(), b.view()), a.dot(&b)));
    // Of transposed views, as a gradient has them.
    assert!(close(multiply(b.t(), a.t()), b.t().dot(&a.t())));
    assert_eq!(multiply(a.view(), Array2::zeros((300, 0)).view()).dim(), (40, 0));
}

#[test]
fn results_keep_the_order_of_the_items() {
    for numbers in [0, usize::MAX] {
        let squares = map(numbers, 0..1000, |i| i * i);
        assert!(squares.iter().enumerate().all(|(i, &square)| square == i * i));
    }
}

#[test]
fn the_loss_alone_is_the_loss_with_a_gradient() {
    let (a, b) = arrays();
    let logits = a.dot(&b);
    let targets: Vec<_> = (0..40).map(|row| (row % 3 != 0).then_some(17 * row)).collect();
    let (loss, _) = cross_entropy(logits.clone(), &targets, 5.0).unwrap();
    assert_eq!(cross_entropy_loss(logits, &targets).unwrap(), loss);
}

#[cfg(feature = "threads")]
#[test]
fn the_number_of_threads_changes_no_bit() {
    let compute = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (a, b) = arrays();
            let logits = multiply(a.view(), b.view());
            let targets: Vec<_> = (0..40).map(|row| Some(17 * row)).collect();
            (logits.clone(), cross_entropy(logits, &targets, 5.0).unwrap())
        })
    };
    let alone = compute(1);
    assert!([2, 3, 8].into_iter().all(|threads| compute(threads) == alone));
}
