//! Gradients, merging, sharing and errors.

use std::sync::Arc;

use adapter::gradcheck::{Layer, SHAPES, integers};
use adapter::{Adapter, Bytes, Ledger};
use ndarray::{Array1, Array2, array};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use vera::{Init, Pool, Projections, Sharing, Vera};

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A layer that is `spare` rows and columns smaller than the projections it shares. No entry of b or d is 0.
fn layer(shape: [usize; 4], spare: usize, drop: bool, seed: u64) -> Layer<Vera<f64>> {
    let [_, out, inputs, rank] = shape;
    Layer::new(shape, drop, &mut rng(seed), |rng| {
        let (a, b) = (integers(rng, rank, inputs + spare), integers(rng, out + spare, rank));
        let projections = Arc::new(Projections::new(a, b).unwrap());
        let odd = |value: f64| 2.0 * value + 1.0;
        let mut vector = |length| Array1::from_iter(integers(rng, 1, length)).mapv(odd);
        Vera::new(vector(out), vector(rank), inputs, projections).unwrap()
    })
}

#[test]
fn gradients_are_exact() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        for (spare, drop) in [(0, false), (3, false), (0, true), (2, true)] {
            let mut layer = layer(shape, spare, drop, seed as u64);
            let gradients = layer.gradients().unwrap();
            assert_eq!(layer.mismatches(&gradients).unwrap(), [], "{shape:?}, {spare}, {drop}");
        }
    }
}

#[test]
fn merged_equals_unmerged() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        let layer = layer(shape, 2, false, 10 + seed as u64);
        let mut weight = layer.weight.clone();
        layer.adapter.merge(&mut weight).unwrap();
        assert_ne!(weight, layer.weight, "{shape:?}: an adapter that does nothing proves nothing");
        assert_eq!(layer.x.dot(&weight.t()), layer.forward().unwrap().0, "{shape:?}");
    }
}

/// b = 0: the model is unchanged, d gets no gradient, b does.
#[test]
fn the_start() {
    let layer = layer(SHAPES[7], 0, false, 0);
    let fresh = Vera::init([6, 9], 0.1, layer.adapter.projections().clone()).unwrap();
    let layer = Layer { adapter: fresh, ..layer };
    assert_eq!(layer.forward().unwrap().0, layer.x.dot(&layer.weight.t()));
    let gradients = layer.gradients().unwrap().adapter;
    assert_eq!(gradients.lambda_d, Array1::<f64>::zeros(3));
    assert!(gradients.lambda_b.iter().any(|&g| g != 0.0));
}

/// ΔW has rank min(r, out, in) though only r + out numbers are trained: papers.md §7.
#[test]
fn the_rank_is_not_limited_by_the_numbers_trained() {
    let projections = Arc::new(Projections::init(5, [8, 7], Init::default(), &mut rng(1)).unwrap());
    let mut adapter = Vera::<f64>::init([8, 7], 0.1, projections).unwrap();
    adapter.lambda_b.fill(1.0);
    let svd = rank::svd(adapter.delta_weight().view()).unwrap();
    assert_eq!(svd.rank(rank::Tolerance::Numpy), 5);
}

/// Three layers, one A and B: held once.
#[test]
fn the_projections_are_counted_once() {
    let make = |shape| Projections::<f64>::init(4, shape, Init::default(), &mut rng(2));
    let shapes = [[6, 5], [3, 5], [6, 5]];
    let layers = |sharing| -> Vec<Vera<f64>> {
        let pool = Pool::new(shapes, sharing, make).unwrap();
        shapes.map(|shape| Vera::init(shape, 0.1, pool.get(shape).unwrap()).unwrap()).into()
    };
    let vectors = (6 + 3 + 6) + 3 * 4;
    assert_eq!(Ledger::of(&layers(Sharing::MaxSlice)[..]), 8 * (vectors + 4 * (5 + 6)));
    let per_shape = 4 * (5 + 6) + 4 * (5 + 3);
    assert_eq!(Ledger::of(&layers(Sharing::PerShape)[..]), 8 * (vectors + per_shape));
    let mut ledger = Ledger::default();
    layers(Sharing::MaxSlice)[0].count(&mut ledger);
}

/// The three laws: mean and variance within five standard errors, bounds kept.
#[test]
fn the_laws_of_the_projections() {
    let (rank, inputs, outputs) = (64, 200, 300);
    let n = (rank * inputs) as f64;
    let moments = |init| {
        let drawn = Projections::<f64>::init(rank, [outputs, inputs], init, &mut rng(3)).unwrap();
        let mean = drawn.a().sum() / n;
        let variance = drawn.a().mapv(|v| (v - mean).powi(2)).sum() / n;
        let largest = drawn.a().iter().fold(0.0, |max: f64, v| max.max(v.abs()));
        let of_b = drawn.b().mapv(|v| v * v).mean().unwrap();
        (mean, variance, largest, of_b)
    };
    let fan_in = inputs as f64;
    let (mean, variance, largest, of_b) = moments(Init::KaimingUniform);
    assert!(mean.abs() <= 5.0 * (2.0 / fan_in / n).sqrt());
    // Var[v²] = (4/5)·Var²: for U(±c) E v⁴ = c⁴/5 and Var = c²/3.
    assert!((variance - 2.0 / fan_in).abs() <= 5.0 * (2.0 / fan_in) * (0.8 / n).sqrt());
    assert!(largest <= (6.0 / fan_in).sqrt());
    // B's fan-in is r.
    let m = (rank * outputs) as f64;
    assert!((of_b - 2.0 / rank as f64).abs() <= 5.0 * (2.0 / rank as f64) * (0.8 / m).sqrt());
    let (_, variance, ..) = moments(Init::KaimingNormal);
    assert!((variance - 2.0 / fan_in).abs() <= 5.0 * (2.0 / fan_in) * (2.0 / n).sqrt());
    let (mean, .., largest, _) = moments(Init::Uniform { low: 0.0, high: 0.1 });
    assert!((mean - 0.05).abs() <= 5.0 * (0.01 / 12.0 / n).sqrt() && largest <= 0.1);
}

#[test]
fn what_does_not_fit_is_refused() {
    let make = |shape| Projections::<f64>::init(2, shape, Init::default(), &mut rng(4));
    let small = Arc::new(make([4, 5]).unwrap());
    let error = Vera::init([4, 6], 0.1, small.clone()).unwrap_err().to_string();
    assert!(error.contains("[2, 5]") && error.contains("[4, 6]"), "{error}");
    assert!(Vera::init([5, 5], 0.1, small.clone()).is_err());
    assert!(Vera::init([4, 5], f64::NAN, small.clone()).is_err());
    let error = Vera::new(array![0.0, 0.0], array![1.0], 5, small.clone()).unwrap_err();
    assert!(error.to_string().contains("lambda_d"), "{error}");
    assert!(Projections::<f64>::init(0, [4, 5], Init::default(), &mut rng(5)).is_err());
    assert!(Projections::<f64>::peft(0, 0, [4, 5]).is_err());
    let law = Init::Uniform { low: 1.0, high: f64::INFINITY };
    assert!(Projections::<f64>::init(2, [4, 5], law, &mut rng(6)).is_err());
    assert!(Pool::<f64>::new([], Sharing::MaxSlice, make).is_err());
    let pool = Pool::new([[4, 5]], Sharing::PerShape, make).unwrap();
    assert!(pool.get([5, 5]).unwrap_err().to_string().contains("[4, 5]"));

    let adapter = Vera::init([4, 5], 0.1, small).unwrap();
    let x = Array2::zeros((1, 5)).into_shared();
    assert!(adapter.forward(Array2::zeros((4, 6)).view(), &x, None).is_err());
    assert!(adapter.forward(Array2::zeros((3, 5)).view(), &x, None).is_err());
}

proptest! {
    #[test]
    fn any_shape(
        tokens in 0..6usize, out in 1..6usize, inputs in 1..6usize, rank in 1..6usize,
        spare in 0..3usize, drop in any::<bool>(), seed in any::<u64>(),
    ) {
        let mut layer = layer([tokens, out, inputs, rank], spare, drop, seed);
        let gradients = layer.gradients().unwrap();
        prop_assert_eq!(layer.mismatches(&gradients).unwrap(), []);
    }
}
