//! What backward leaves out by holding ‖V‖ constant (section 4.3 of the paper): the derivative through it.
//!
//! ‖V_i‖ changes by V̂_i · δV_i, with V̂ = V/‖V‖, and L by −c_i ∂L/∂m_i for each unit of ‖V_i‖. So of ∂L/∂V is missing
//!
//! ```text
//! M_i = −c_i ∂L/∂m_i V̂_i        and of ∂L/∂A s Bᵀ M, of ∂L/∂B s M Aᵀ
//! ```
//!
//! The whole derivative comes from dual numbers, which differentiate forward as it is written, norms included.

use crate::layers::dora;
use adapter::gradcheck::{Layer, SHAPES};
use adapter::{Adapter, Dual, Real, Tensors};
use dora::{Dora, Grads};
use lora::Lora;
use ndarray::{Array, Array1, Array2, Axis, Dimension};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn dual<D: Dimension>(numbers: &Array<f64, D>) -> Array<Dual, D> {
    numbers.mapv(Dual::from_f64)
}

/// ∂L/∂p of L = Σ y ⊙ grad_y, through everything, for each number p of A, B and m in turn.
fn whole(layer: &Layer<Dora<f64>>) -> Vec<f64> {
    let Dora { lora: Lora { a, b, scale }, magnitude } = &layer.adapter;
    let lora = Lora { a: dual(a), b: dual(b), scale: Dual::from_f64(*scale) };
    let mut adapter = Dora { lora, magnitude: dual(magnitude) };
    let (weight, x) = (dual(&layer.weight), layer.x.mapv(Dual::from_f64).into_shared());
    let grad_y = dual(&layer.grad_y);
    let mut derivatives = Vec::new();
    for tensor in 0..3 {
        for index in 0..adapter.tensors()[tensor].1.len() {
            seed(&mut adapter, tensor, index, 1.0);
            let (y, _) = adapter.forward(weight.view(), &x, layer.dropout.as_ref()).unwrap();
            derivatives.push((y * &grad_y).sum().tangent);
            seed(&mut adapter, tensor, index, 0.0);
        }
    }
    derivatives
}

fn seed(adapter: &mut Dora<Dual>, tensor: usize, index: usize, tangent: f64) {
    let mut tensors = adapter.tensors_mut();
    tensors[tensor].1.iter_mut().nth(index).expect("index below len").tangent = tangent;
}

/// s Bᵀ M, s M Aᵀ, and nothing for m.
fn left_out(layer: &Layer<Dora<f64>>, grads: &Grads<f64>) -> Vec<f64> {
    let Dora { lora, magnitude } = &layer.adapter;
    let norm = layer.adapter.norm(layer.weight.view()).unwrap();
    let v = lora.delta_weight(layer.weight.view()).unwrap() + &layer.weight;
    // −c_i ∂L/∂m_i / ‖V_i‖
    let factor: Array1<f64> = -(magnitude / &norm) * &grads.magnitude / &norm;
    let m: Array2<f64> = v * &factor.insert_axis(Axis(1)); // [out, in]
    let a = lora.b.t().dot(&m) * lora.scale; // [r, out]·[out, in] → [r, in]
    let b = m.dot(&lora.a.t()) * lora.scale; // [out, in]·[in, r] → [out, r]
    a.into_iter().chain(b).chain(Array1::zeros(magnitude.len())).collect()
}

fn listed(grads: &Grads<f64>) -> Vec<f64> {
    grads.tensors().iter().flat_map(|(_, gradient)| gradient.iter().copied()).collect()
}

fn check(layer: &Layer<Dora<f64>>) -> f64 {
    let grads = layer.gradients().unwrap().adapter;
    let (ours, missing, whole) = (listed(&grads), left_out(layer, &grads), whole(layer));
    let largest = ours.iter().chain(&missing).fold(0.0, |max: f64, g| max.max(g.abs()));
    for ((ours, missing), whole) in ours.iter().zip(&missing).zip(&whole) {
        let error = (ours + missing - whole).abs();
        // Sums of some dozens of products on both sides.
        assert!(error <= 256.0 * f64::UNIT_ROUNDOFF * largest, "{ours} + {missing}, not {whole}");
    }
    let norm = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
    norm(&missing) / norm(&whole)
}

#[test]
fn ours_and_what_it_leaves_out_are_the_derivative() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        for drop in [false, true] {
            check(&dora(shape, drop, seed as u64));
        }
    }
}

/// On Gaussian numbers too, where it is no small part.
#[test]
fn what_is_left_out_is_not_small() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for drop in [false, true] {
        let mut layer = dora([16, 12, 10, 3], drop, 1);
        let mut gaussian = |m, n| Array2::<f64>::random_using((m, n), StandardNormal, &mut rng);
        layer.weight = gaussian(12, 10);
        (layer.x, layer.grad_y) = (gaussian(16, 10).into_shared(), gaussian(16, 12));
        layer.adapter.lora = Lora::new(gaussian(3, 10), gaussian(12, 3), 0.75).unwrap();
        let share = check(&layer);
        println!("dropout {drop}: |left out| / |whole| = {share:.2}");
        assert!(share > 0.1, "{share}");
    }
}

/// A longer V is the same layer, so the whole derivative does not point along V; what is left out is what of ours does.
#[test]
fn what_is_left_out_points_along_v() {
    let layer = dora(SHAPES[7], false, 2);
    // A = 1 and W = 0, so that V = B and ∂L/∂B is ∂L/∂V.
    let v = layer.adapter.lora.delta_weight(layer.weight.view()).unwrap() + &layer.weight;
    let lora = Lora::new(Array2::eye(v.ncols()), v.clone(), 1.0).unwrap();
    let adapter = Dora::new(lora, layer.adapter.magnitude.clone()).unwrap();
    let layer = Layer { weight: Array2::zeros(v.dim()), adapter, ..layer };
    let grads = layer.gradients().unwrap().adapter;
    let along = (&grads.lora.b * &v).sum_axis(Axis(1));
    assert_eq!(along, &layer.adapter.magnitude * &grads.magnitude);
    let missing = left_out(&layer, &grads);
    let missing = &missing[v.ncols() * v.ncols()..][..v.len()]; // of B, after A
    let whole = &grads.lora.b + &Array2::from_shape_vec(v.dim(), missing.to_vec()).unwrap();
    assert_eq!((whole * &v).sum_axis(Axis(1)), Array1::<f64>::zeros(v.nrows()));
}
