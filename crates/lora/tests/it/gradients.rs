//! Gradients, merging and dropout on small integers, where `f64` does not round: compared with `==`.

use adapter::gradcheck::{Gradients, Layer, SHAPES, integers};
use adapter::{Adapter, Dropout};
use lora::{Grads, Lora};
use ndarray::Array2;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// s = 3/2, so α ≠ r, and B ≠ 0.
fn lora(shape: [usize; 4], drop: bool, seed: u64) -> Layer<Lora<f64>> {
    let [_, out, inputs, rank] = shape;
    Layer::new(shape, drop, &mut ChaCha8Rng::seed_from_u64(seed), |rng| {
        Lora::new(integers(rng, rank, inputs), integers(rng, out, rank), 1.5).unwrap()
    })
}

#[test]
fn gradients_are_exact() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        for drop in [false, true] {
            let mut layer = lora(shape, drop, seed as u64);
            let gradients = layer.gradients().unwrap();
            assert_eq!(layer.mismatches(&gradients).unwrap(), [], "{shape:?}, dropout {drop}");
        }
    }
}

/// The check itself: the bugs it is there to find are found.
#[test]
fn a_wrong_gradient_is_found() {
    let mut layer = lora(SHAPES[0], true, 1);
    let right = layer.gradients().unwrap();
    let s = layer.adapter.scale;
    type Bug = fn(&mut Gradients<Grads<f64>>, f64);
    let bugs: [(&str, Bug); 4] = [
        ("s missing from A's gradient", |wrong, s| wrong.adapter.a.mapv_inplace(|g| g / s)),
        ("s twice in B's gradient", |wrong, s| wrong.adapter.b.mapv_inplace(|g| g * s)),
        ("one element of x's gradient", |wrong, _| wrong.x[[2, 4]] += 1.0),
        ("NaN", |wrong, _| wrong.adapter.a[[0, 0]] = f64::NAN),
    ];
    for (name, bug) in bugs {
        let mut wrong = right.clone();
        bug(&mut wrong, s);
        assert_ne!(layer.mismatches(&wrong).unwrap(), [], "{name}");
    }
    // Without the mask on the way back.
    let mask = layer.dropout.take();
    let wrong = layer.gradients().unwrap();
    layer.dropout = mask;
    assert_ne!(layer.mismatches(&wrong).unwrap(), []);
}

#[test]
fn merged_equals_unmerged() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        let layer = lora(shape, false, seed as u64);
        let (y, _) = layer.forward().unwrap();
        let mut weight = layer.weight.clone();
        layer.adapter.merge(&mut weight).unwrap();
        assert_ne!(weight, layer.weight, "{shape:?}: an adapter that does nothing proves nothing");
        assert_eq!(layer.x.dot(&weight.t()), y, "{shape:?}");
        layer.adapter.unmerge(&mut weight).unwrap();
        assert_eq!(weight, layer.weight, "{shape:?}");
    }
}

/// Everything dropped: what is left is the frozen layer, and A, B get no gradient.
#[test]
fn with_everything_dropped_only_the_weight_is_left() {
    let mut layer = lora(SHAPES[0], false, 2);
    layer.dropout = Some(Dropout::new(Array2::zeros(layer.x.dim()), 0.5).unwrap());
    assert_eq!(layer.forward().unwrap().0, layer.x.dot(&layer.weight.t()));
    let Gradients { x, adapter: Grads { a, b } } = layer.gradients().unwrap();
    assert_eq!(x, layer.grad_y.dot(&layer.weight));
    assert_eq!(a, Array2::<f64>::zeros(a.dim()));
    assert_eq!(b, Array2::<f64>::zeros(b.dim()));
}

/// A dropped element is 0 whatever x is there.
#[test]
fn dropout_hides_even_nan() {
    let mut layer = lora(SHAPES[0], false, 3);
    let mut mask = Array2::ones(layer.x.dim());
    mask[[1, 2]] = 0;
    let dropout = Dropout::new(mask, 0.5).unwrap();
    layer.x[[1, 2]] = f64::NAN;
    let term = dropout.apply(layer.x.view()).unwrap();
    assert!(term.iter().all(|value| value.is_finite()));
    assert_eq!(term[[1, 2]], 0.0);
    assert_eq!(term[[0, 0]], 2.0 * layer.x[[0, 0]]);
    layer.dropout = Some(dropout);
    let Gradients { x, adapter: Grads { a, b } } = layer.gradients().unwrap();
    assert!(x.iter().chain(&a).chain(&b).all(|value| value.is_finite()));
}

proptest! {
    #[test]
    fn any_shape(
        tokens in 0..6usize, out in 1..6usize, inputs in 1..6usize, rank in 1..6usize,
        drop in any::<bool>(), seed in any::<u64>(),
    ) {
        let mut layer = lora([tokens, out, inputs, rank], drop, seed);
        let gradients = layer.gradients().unwrap();
        prop_assert_eq!(layer.mismatches(&gradients).unwrap(), []);
    }
}
