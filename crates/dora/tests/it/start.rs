//! How an adapter starts and moves, and what it holds.

use crate::layers::{dora, lengths};
use adapter::gradcheck::SHAPES;
use adapter::{Adapter, Dropout, Group, Ledger, Sgd, Tensors, tensors};
use dora::Dora;
use lora::{Init, Lora, Scaling};
use ndarray::{Array1, Array2, array};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn fresh([out, inputs]: [usize; 2], rank: usize, init: Init) -> Lora<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    Lora::init([out, inputs], rank, 16.0, Scaling::AlphaOverR, init, &mut rng).unwrap()
}

#[test]
fn nothing_changes_before_the_first_step() {
    let weight = array![[0.1, -0.7, 1e9], [3.3, 0.0, -1e-9]];
    let x = array![[0.3, 1.7, -2.2], [9.1, -0.4, 5.5]].into_shared();
    for init in [Init::KaimingUniformA5, Init::Gaussian, Init::KaimingUniformB, Init::Embedding] {
        let dora = Dora::init(weight.view(), fresh([2, 3], 2, init)).unwrap();
        assert_eq!(dora.magnitude, lengths(&weight));
        let (y, _) = dora.forward(weight.view(), &x, None).unwrap();
        let bits = |matrix: &Array2<f64>| matrix.mapv(f64::to_bits);
        assert_eq!(bits(&y), bits(&x.dot(&weight.t())), "{init:?}");
        assert_eq!(dora.delta_weight(weight.view()).unwrap(), Array2::<f64>::zeros((2, 3)));
        // With a mask y is put together from two parts, each rounded.
        let dropout = Dropout::new(array![[1, 0, 1], [0, 1, 1]], 0.5).unwrap();
        let (y, _) = dora.forward(weight.view(), &x, Some(&dropout)).unwrap();
        let bound = 8.0 * f64::EPSILON * 2.0 * x.mapv(f64::abs).dot(&weight.t().mapv(f64::abs));
        assert!((y - x.dot(&weight.t())).iter().zip(&bound).all(|(error, b)| error.abs() <= *b));
    }
}

/// A start that turns the rows, B A ≠ 0, keeps the lengths of what it makes of them: PEFT's order too.
#[test]
fn a_start_that_changes_w_keeps_its_lengths() {
    let layer = dora(SHAPES[0], false, 5);
    let fresh = Dora::init(layer.weight.view(), layer.adapter.lora.clone()).unwrap();
    let v = layer.adapter.lora.delta_weight(layer.weight.view()).unwrap() + &layer.weight;
    assert_eq!(fresh.magnitude, lengths(&v));
    assert_eq!(fresh.delta_weight(layer.weight.view()).unwrap() + &layer.weight, v);
}

/// The plain rule: all three follow their gradients at one rate, with the decay, and W stays.
#[test]
fn a_step_of_sgd() {
    let mut layer = dora(SHAPES[0], false, 6);
    let (before, weight) = (layer.adapter.clone(), layer.weight.clone());
    let grads = layer.gradients().unwrap().adapter;
    let mut sgd = Sgd { group: Group { lr: 0.5, weight_decay: 0.25 } };
    layer.adapter.step(&mut layer.weight, &grads, &mut sgd).unwrap();
    let moved = |p: f64, g: f64| p - 0.5 * (g + 0.25 * p);
    let names = ["lora_A", "lora_B", "lora_magnitude_vector"];
    let all = before.tensors().into_iter().zip(grads.tensors()).zip(layer.adapter.tensors());
    for ((((name, p), (_, g)), (_, after)), want) in all.zip(names) {
        assert_eq!(name, want);
        assert!(p.iter().zip(&g).zip(&after).all(|((p, g), after)| *after == moved(*p, *g)));
        assert!(g.iter().any(|g| *g != 0.0), "{name} has no gradient");
    }
    assert_eq!(layer.weight, weight);
}

/// r (in + out) + out trained; x, h, the mask, and beside LoRA's u \[tokens, out\] and ‖V‖ \[out\] kept.
#[test]
fn counts_and_bytes() {
    for (shape @ [tokens, out, inputs, rank], drop) in [(SHAPES[7], false), (SHAPES[0], true)] {
        let layer = dora(shape, drop, 7);
        assert_eq!(tensors::count(&layer.adapter), rank * (inputs + out) + out);
        assert_eq!(Ledger::of(&layer.adapter), 8 * (rank * (inputs + out) + out));
        let (_, saved) = layer.forward().unwrap();
        let mask = if drop { tokens * inputs } else { 0 };
        let lora = 8 * tokens * (inputs + rank) + mask;
        assert_eq!(Ledger::of(&saved), lora + 8 * (tokens * out + out));
        let lora_saved = {
            let dora: &Dora<f64> = &layer.adapter;
            dora.lora.forward(layer.weight.view(), &layer.x, layer.dropout.as_ref()).unwrap().1
        };
        assert_eq!(Ledger::of(&lora_saved), lora);
    }
}

/// A row keeps its direction when only its length is trained, and its length when only A and B are.
#[test]
fn lengths_and_directions_are_apart() {
    let mut layer = dora(SHAPES[7], false, 8);
    let merged = |dora: &Dora<f64>| dora.delta_weight(layer.weight.view()).unwrap() + &layer.weight;
    let before = merged(&layer.adapter);
    layer.adapter.magnitude *= 2.0;
    assert_eq!(merged(&layer.adapter), &before * 2.0);
    layer.adapter.lora.b.fill(0.0);
    let want: Array1<f64> = layer.adapter.magnitude.mapv(f64::abs);
    for (got, want) in lengths(&merged(&layer.adapter)).iter().zip(&want) {
        assert!((got - want).abs() <= 16.0 * f64::EPSILON * want, "{got}, {want}");
    }
}
