//! Forward, backward and merging, on integers and with `==`; and that nothing but A is what LoRA-FA changes of LoRA.

use adapter::gradcheck::{Layer, SHAPES, integers};
use adapter::{AdamVariant, AdamW, Adapter, Dropout, Group, Ledger, Tensors, tensors};
use lora::Lora;
use lora_fa::{LoraFa, Variant};
use ndarray::Array2;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn layer(shape: [usize; 4], drop: bool, seed: u64) -> Layer<LoraFa<f64>> {
    let [_, out, inputs, rank] = shape;
    Layer::new(shape, drop, &mut rng(seed), |rng| {
        let (a, b) = (integers(rng, rank, inputs), integers(rng, out, rank));
        LoraFa::new(a, b, 1.5, Variant::Plain).unwrap()
    })
}

/// The same numbers under LoRA.
fn under_lora(layer: &Layer<LoraFa<f64>>) -> Layer<Lora<f64>> {
    Layer {
        adapter: layer.adapter.lora().clone(),
        weight: layer.weight.clone(),
        x: layer.x.clone(),
        grad_y: layer.grad_y.clone(),
        dropout: layer.dropout.clone(),
    }
}

#[test]
fn gradients_are_exact() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        for drop in [false, true] {
            let mut layer = layer(shape, drop, seed as u64);
            let gradients = layer.gradients().unwrap();
            assert_eq!(layer.mismatches(&gradients).unwrap(), [], "{shape:?}, dropout {drop}");
        }
    }
}

#[test]
fn merged_equals_unmerged() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        let layer = layer(shape, false, seed as u64);
        let mut weight = layer.weight.clone();
        layer.adapter.merge(&mut weight).unwrap();
        assert_ne!(weight, layer.weight, "an adapter that does nothing proves nothing");
        assert_eq!(layer.x.dot(&weight.t()), layer.forward().unwrap().0, "{shape:?}");
        layer.adapter.unmerge(&mut weight).unwrap();
        assert_eq!(weight, layer.weight);
    }
}

#[test]
fn forward_and_backward_are_loras() {
    for drop in [false, true] {
        let layer = layer(SHAPES[0], drop, 3);
        let other = under_lora(&layer);
        assert_eq!(layer.forward().unwrap().0, other.forward().unwrap().0);
        let (own, loras) = (layer.gradients().unwrap(), other.gradients().unwrap());
        assert_eq!(own.x, loras.x);
        assert_eq!(own.adapter.b, loras.adapter.b);
    }
}

/// LoRA with its A put back after every step takes the same path, bit for bit.
#[test]
fn the_plain_variant_is_lora_whose_a_does_not_learn() {
    for variant in [AdamVariant::Torch, AdamVariant::Hf] {
        let mut layer = layer(SHAPES[7], true, 4);
        let mut other = under_lora(&layer);
        let a = other.adapter.a.clone();
        let group = Group { lr: 0.01, weight_decay: 0.1 };
        let [mut own, mut loras] = [(); 2].map(|()| AdamW::new(group, variant));
        for _ in 0..4 {
            let grads = layer.gradients().unwrap().adapter;
            layer.adapter.step(&mut layer.weight, &grads, &mut own).unwrap();
            let grads = other.gradients().unwrap().adapter;
            other.adapter.step(&mut other.weight, &grads, &mut loras).unwrap();
            assert_ne!(other.adapter.a, a, "LoRA's A moves");
            other.adapter.a.assign(&a);
            assert_eq!(layer.adapter.lora().b, other.adapter.b);
        }
        assert_eq!(layer.adapter.lora().a, a);
        assert_eq!(layer.weight, other.weight);
    }
}

/// x is not kept: the bytes are those of x̃ Aᵀ, whatever in is, and of the mask when there is one.
#[test]
fn only_the_low_rank_input_is_kept() {
    let (tokens, out, rank) = (10, 6, 4);
    for inputs in [8, 64, 512] {
        let (a, b) = (integers(&mut rng(0), rank, inputs), Array2::zeros((out, rank)));
        let adapter = LoraFa::new(a, b, 1.0, Variant::Plain).unwrap();
        let weight = Array2::zeros((out, inputs));
        let x = Array2::<f64>::ones((tokens, inputs)).into_shared();
        let mask = Dropout::new(Array2::ones((tokens, inputs)), 0.5).unwrap();
        let (_, saved) = adapter.forward(weight.view(), &x, None).unwrap();
        assert_eq!(Ledger::of(&saved), 8 * tokens * rank);
        let (_, masked) = adapter.forward(weight.view(), &x, Some(&mask)).unwrap();
        assert_eq!(Ledger::of(&masked), 8 * tokens * rank + tokens * inputs);
        // Its last owner can take a shared array without a copy.
        let address = x.as_ptr();
        assert_eq!(x.into_owned().as_ptr(), address, "x is held somewhere");
    }
}

/// Only B is trained; A, and for the projection the factor of A Aᵀ, are held too.
#[test]
fn counts_and_bytes() {
    let (out, inputs, rank) = (30, 20, 4);
    let a = Array2::eye(inputs).slice_move(ndarray::s![..rank, ..]);
    for (variant, factor) in [(Variant::Plain, 0), (Variant::Projected, rank * rank)] {
        let b = Array2::zeros((out, rank));
        let adapter = LoraFa::<f64>::new(a.clone(), b, 1.0, variant).unwrap();
        assert_eq!(adapter.variant(), variant);
        assert_eq!(tensors::count(&adapter), out * rank);
        let names: Vec<_> = adapter.tensors().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["lora_B"]);
        assert_eq!(Ledger::of(&adapter), 8 * (rank * (out + inputs) + factor));
    }
}

proptest! {
    #[test]
    fn any_shape(
        tokens in 0..6usize, out in 1..6usize, inputs in 1..6usize, rank in 1..6usize,
        drop in any::<bool>(), seed in any::<u64>(),
    ) {
        let mut layer = layer([tokens, out, inputs, rank], drop, seed);
        let gradients = layer.gradients().unwrap();
        prop_assert_eq!(layer.mismatches(&gradients).unwrap(), []);
    }
}
