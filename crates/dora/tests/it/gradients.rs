//! Gradients on small integers, where `f64` does not round: compared with `==`. ‖V‖ is held constant, as in backward: then
//! the layer is affine in each number of A, B, m and x.

use crate::layers::dora;
use adapter::gradcheck::{Gradients, Layer, Mismatch, SHAPES, exact};
use adapter::{Adapter, Dropout};
use dora::{Dora, Grads};
use lora::Lora;
use ndarray::{Array1, Array2};
use proptest::prelude::*;

/// y = x Wᵀ + (c − 1) ⊙ x̃ Wᵀ + c ⊙ s x̃ Aᵀ Bᵀ, as PEFT computes it, with c = m/norm.
fn held(layer: &Layer<Dora<f64>>, norm: &Array1<f64>) -> Array2<f64> {
    let Layer {
        weight, x, dropout, adapter: Dora { lora: Lora { a, b, scale }, magnitude }, ..
    } = layer;
    let kept = match dropout {
        Some(dropout) => dropout.apply(x.view()).unwrap(),
        None => x.to_owned(),
    };
    let c = magnitude / norm;
    x.dot(&weight.t())
        + kept.dot(&weight.t()) * &(&c - 1.0)
        + kept.dot(&a.t()).dot(&b.t()) * *scale * &c
}

/// Where `gradients` differ from f(p + 1) − f(p), with ‖V‖ as it is now.
fn mismatches(layer: &Layer<Dora<f64>>, gradients: &Gradients<Grads<f64>>) -> Vec<Mismatch> {
    let norm = layer.adapter.norm(layer.weight.view()).unwrap();
    let loss = |layer: &Layer<_>| Ok((held(layer, &norm) * &layer.grad_y).sum());
    exact(&mut layer.clone(), gradients, loss).unwrap()
}

#[test]
fn gradients_are_exact_with_the_norm_held() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        for drop in [false, true] {
            let layer = dora(shape, drop, seed as u64);
            let norm = layer.adapter.norm(layer.weight.view()).unwrap();
            assert_eq!(layer.forward().unwrap().0, held(&layer, &norm), "{shape:?}, {drop}");
            let gradients = layer.gradients().unwrap();
            assert_eq!(mismatches(&layer, &gradients), [], "{shape:?}, dropout {drop}");
        }
    }
}

/// The check itself: the bugs it is there to find are found.
#[test]
fn a_wrong_gradient_is_found() {
    let mut layer = dora(SHAPES[7], true, 1);
    let right = layer.gradients().unwrap();
    let c = &layer.adapter.magnitude / &layer.adapter.norm(layer.weight.view()).unwrap();
    let mut wrong = right.clone();
    wrong.adapter.magnitude *= &c; // ∂L/∂‖V‖ in the place of ∂L/∂m
    assert_ne!(mismatches(&layer, &wrong), []);
    let mut wrong = right.clone();
    wrong.adapter.lora.b /= &c.insert_axis(ndarray::Axis(1)); // LoRA's, without c
    assert_ne!(mismatches(&layer, &wrong), []);
    // Without the mask, on the way there or back.
    let mask = layer.dropout.take();
    let wrong = layer.gradients().unwrap();
    layer.dropout = mask;
    assert_ne!(mismatches(&layer, &wrong), []);
}

/// Everything dropped: what is left is the frozen layer, and nothing of the adapter gets a gradient.
#[test]
fn with_everything_dropped_only_the_weight_is_left() {
    let mut layer = dora(SHAPES[0], false, 2);
    layer.dropout = Some(Dropout::new(Array2::zeros(layer.x.dim()), 0.5).unwrap());
    assert_eq!(layer.forward().unwrap().0, layer.x.dot(&layer.weight.t()));
    let Gradients { x, adapter: Grads { lora, magnitude } } = layer.gradients().unwrap();
    assert_eq!(x, layer.grad_y.dot(&layer.weight));
    assert!(lora.a.iter().chain(&lora.b).chain(&magnitude).all(|gradient| *gradient == 0.0));
}

/// Without lengths of its own it is LoRA: with m = ‖V‖ the same y, and the same gradients of A, B and x.
#[test]
fn with_the_lengths_of_v_it_is_lora() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        for drop in [false, true] {
            let mut layer = dora(shape, drop, seed as u64);
            layer.adapter.magnitude = layer.adapter.norm(layer.weight.view()).unwrap();
            let Layer { weight, adapter, x, grad_y, dropout } = &layer;
            let lora = &adapter.lora;
            let (y, saved) = lora.forward(weight.view(), x, dropout.as_ref()).unwrap();
            assert_eq!(layer.forward().unwrap().0, y, "{shape:?}, {drop}");
            let (grad_x, grads) = lora.backward(weight.view(), &saved, grad_y.view()).unwrap();
            let gradients = layer.gradients().unwrap();
            assert_eq!((gradients.x, gradients.adapter.lora), (grad_x, grads), "{shape:?}, {drop}");
        }
    }
}

proptest! {
    #[test]
    fn any_shape(
        tokens in 0..6usize, out in 1..6usize, inputs in 1..6usize, rank in 1..6usize,
        drop in any::<bool>(), seed in any::<u64>(),
    ) {
        let layer = dora([tokens, out, inputs, rank], drop, seed);
        let gradients = layer.gradients().unwrap();
        prop_assert_eq!(mismatches(&layer, &gradients), []);
    }
}
