//! Forward, backward and merging, on integers and with `==`; also where a layer uses only part of the projections.

use std::sync::Arc;

use adapter::gradcheck::{Layer, SHAPES, integers};
use adapter::{AdamVariant, AdamW, Adapter, Dropout, Group, Ledger, Sgd, Tensors, tensors};
use ndarray::{Array1, Array2, array};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use vera::{Grads, Projections, Vera};

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
        layer.adapter.unmerge(&mut weight).unwrap();
        assert_eq!(weight, layer.weight);
    }
}

/// b = 0: the model is unchanged to the last bit, d gets no gradient, b does.
#[test]
fn the_start() {
    for drop in [false, true] {
        let layer = layer(SHAPES[7], 0, drop, 0);
        let fresh = Vera::init([6, 9], 0.1, layer.adapter.projections().clone()).unwrap();
        assert_eq!(fresh.lambda_d, Array1::from_elem(3, 0.1));
        let layer = Layer { adapter: fresh, ..layer };
        let bits = |matrix: &Array2<f64>| matrix.mapv(f64::to_bits);
        assert_eq!(bits(&layer.forward().unwrap().0), bits(&layer.x.dot(&layer.weight.t())));
        let delta = layer.adapter.delta_weight(layer.weight.view()).unwrap();
        assert_eq!(delta, Array2::<f64>::zeros((6, 9)));
        let gradients = layer.gradients().unwrap().adapter;
        assert_eq!(gradients.lambda_d, Array1::<f64>::zeros(3));
        assert!(gradients.lambda_b.iter().any(|&g| g != 0.0));
    }
}

/// b and d move as in `lora/tests/start.rs`: with β = (½, ¾) and |g| = ε a power of two, AdamW's first step is η/2. W, A
/// and B stay.
#[test]
fn steps_move_b_and_d_only() {
    let group = Group { lr: 0.5, weight_decay: 0.0 };
    let projections = Arc::new(Projections::new(array![[1.0, 2.0]], array![[3.0], [4.0]]).unwrap());
    let fresh = || Vera::new(array![3.0, 5.0], array![1.0], 2, projections.clone()).unwrap();
    let mut weight = array![[1.0, 2.0], [3.0, 4.0]];
    let grads = Grads { lambda_b: array![-0.25, 0.25], lambda_d: array![0.25] };

    let mut vera = fresh();
    let mut adamw = AdamW::new(group, AdamVariant::Torch);
    (adamw.betas, adamw.eps) = ((0.5, 0.75), 0.25);
    vera.step(&mut weight, &grads, &mut adamw).unwrap();
    assert_eq!((vera.lambda_b, vera.lambda_d), (array![3.25, 4.75], array![0.75]));

    let mut vera = fresh();
    let mut sgd = Sgd { group: Group { weight_decay: 0.5, ..group } };
    vera.step(&mut weight, &grads, &mut sgd).unwrap();
    // p − ½(g + p/2)
    assert_eq!((&vera.lambda_b, &vera.lambda_d), (&array![2.375, 3.625], &array![0.625]));
    assert_eq!((vera.a(), vera.b()), (projections.a(), projections.b()));
    assert_eq!(weight, array![[1.0, 2.0], [3.0, 4.0]]);
}

/// x is not kept: the bytes are those of x̃ Aᵀ, whatever in is, and of the mask when there is one.
#[test]
fn only_the_low_rank_input_is_kept() {
    let (tokens, out, rank) = (10, 6, 4);
    for inputs in [8, 64, 512] {
        let (a, b) = (integers(&mut rng(1), rank, inputs), integers(&mut rng(2), out, rank));
        let vera = Vera::init([out, inputs], 0.1, Arc::new(Projections::new(a, b).unwrap()));
        let (vera, weight) = (vera.unwrap(), Array2::zeros((out, inputs)));
        let x = Array2::<f64>::ones((tokens, inputs)).into_shared();
        let mask = Dropout::new(Array2::ones((tokens, inputs)), 0.5).unwrap();
        let (_, saved) = vera.forward(weight.view(), &x, None).unwrap();
        assert_eq!(Ledger::of(&saved), 8 * tokens * rank);
        let (_, masked) = vera.forward(weight.view(), &x, Some(&mask)).unwrap();
        assert_eq!(Ledger::of(&masked), 8 * tokens * rank + tokens * inputs);
        // Its last owner can take a shared array without a copy.
        let address = x.as_ptr();
        assert_eq!(x.into_owned().as_ptr(), address, "x is held somewhere");
    }
}

#[test]
fn r_and_out_numbers_are_trained() {
    let projections = Arc::new(Projections::peft(0, 4, [30, 20]).unwrap());
    let vera = Vera::<f64>::init([30, 20], 0.1, projections).unwrap();
    assert_eq!(tensors::count(&vera), 30 + 4);
    let names: Vec<_> = vera.tensors().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["vera_lambda_b", "vera_lambda_d"]);
}

#[test]
fn gradients_change_through_their_names() {
    let mut grads = Grads { lambda_b: array![1.0, 2.0], lambda_d: array![3.0] };
    let names: Vec<_> = grads.tensors_mut().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["vera_lambda_b", "vera_lambda_d"]);
    grads.tensors_mut().into_iter().for_each(|(_, mut gradient)| gradient *= 10.0);
    assert_eq!(grads, Grads { lambda_b: array![10.0, 20.0], lambda_d: array![30.0] });
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
