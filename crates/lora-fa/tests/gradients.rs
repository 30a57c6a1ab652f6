//! Gradients, merging, dropout and the projection.

use adapter::gradcheck::{Layer, SHAPES, integers};
use adapter::{Adapter, Group, Ledger, Sgd};
use lora::Lora;
use lora_fa::{Cholesky, LoraFa, Variant};
use ndarray::{Array2, array};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn gaussian(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Array2<f64> {
    Array2::random_using((rows, columns), StandardNormal, rng)
}

fn layer(shape: [usize; 4], drop: bool, seed: u64) -> Layer<LoraFa<f64>> {
    let [_, out, inputs, rank] = shape;
    Layer::new(shape, drop, &mut rng(seed), |rng| {
        let (a, b) = (integers(rng, rank, inputs), integers(rng, out, rank));
        LoraFa::new(a, b, 1.5, Variant::Plain).unwrap()
    })
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

/// x is not kept: the bytes are those of x Aᵀ, whatever in is.
#[test]
fn only_the_low_rank_input_is_kept() {
    for inputs in [8, 64, 512] {
        let mut rng = rng(0);
        let (a, b) = (gaussian(4, inputs, &mut rng), gaussian(6, 4, &mut rng));
        let adapter = LoraFa::new(a, b, 1.0, Variant::Plain).unwrap();
        let x = gaussian(10, inputs, &mut rng).into_shared();
        let (_, saved) = adapter.forward(Array2::zeros((6, inputs)).view(), &x, None).unwrap();
        assert_eq!(Ledger::of(&saved), 8 * 10 * 4);
        // Its last owner can take a shared array without a copy.
        let address = x.as_ptr();
        assert_eq!(x.into_owned().as_ptr(), address, "x is held somewhere");
    }
}

/// ĝ minimises ‖s ĝ A − g‖, so what is left is at right angles to every row of A, and s ĝ A = g P.
#[test]
fn the_projected_gradient_is_the_nearest() {
    let mut rng = rng(1);
    for [out, inputs, rank] in [[5, 7, 3], [4, 4, 4], [3, 9, 1]] {
        let (a, g) = (gaussian(rank, inputs, &mut rng), gaussian(out, inputs, &mut rng));
        let s = 0.5;
        let grad_b = g.dot(&a.t()) * s;
        let projected = Cholesky::of_gram(a.view()).unwrap().solve(grad_b) / (s * s);
        let left = projected.dot(&a) * s - &g;
        // Rounding grows with the condition number of A Aᵀ: κ(A)²·ε, a few digits here.
        let svd = rank::svd(a.view()).unwrap();
        let condition = (svd.s[0] / svd.s[rank - 1]).powi(2);
        let bound = 16.0
            * (rank * inputs) as f64
            * condition
            * f64::EPSILON
            * (1.0 + left.dot(&left.t()).sum().abs());
        for product in left.dot(&a.t()) {
            assert!(product.abs() <= bound, "{product:e} > {bound:e}");
        }
    }
}

/// One step of SGD: plain moves ΔW by −η s² g AᵀA, projected by −η g P.
#[test]
fn one_step_of_sgd() {
    let mut rng = rng(2);
    let (tokens, out, inputs, rank, lr, s) = (6, 5, 8, 3, 0.25, 2.0);
    let (a, b) = (gaussian(rank, inputs, &mut rng), gaussian(out, rank, &mut rng));
    let (x, grad_y) =
        (gaussian(tokens, inputs, &mut rng).into_shared(), gaussian(tokens, out, &mut rng));
    let mut weight = gaussian(out, inputs, &mut rng);
    let g = grad_y.t().dot(&x);
    let of_a = rank::svd(a.view()).unwrap();
    let row_space = of_a.vt.t().dot(&of_a.vt); // P, by LAPACK or Jacobi: not by Cholesky
    for (variant, want) in [
        (Variant::Plain, g.dot(&a.t()).dot(&a) * (-lr * s * s)),
        (Variant::Projected, g.dot(&row_space) * -lr),
    ] {
        let mut adapter = LoraFa::new(a.clone(), b.clone(), s, variant).unwrap();
        let before = adapter.delta_weight();
        let (_, saved) = adapter.forward(weight.view(), &x, None).unwrap();
        let (_, grads) = adapter.backward(weight.view(), &saved, grad_y.view()).unwrap();
        let mut sgd = Sgd { group: Group { lr, weight_decay: 0.0 } };
        adapter.step(&mut weight, &grads, &mut sgd).unwrap();
        approx::assert_relative_eq!(adapter.delta_weight() - before, want, epsilon = 1e-11);
    }
}

/// LoRA-FA is LoRA whose A does not learn: the same output, the same ∂L/∂x and ∂L/∂B.
#[test]
fn forward_and_backward_are_loras() {
    let layer = layer(SHAPES[0], true, 3);
    let lora = Lora::new(layer.adapter.a().to_owned(), layer.adapter.b.clone(), 1.5).unwrap();
    let other = Layer {
        adapter: lora,
        weight: layer.weight.clone(),
        x: layer.x.clone(),
        grad_y: layer.grad_y.clone(),
        dropout: layer.dropout.clone(),
    };
    assert_eq!(layer.forward().unwrap().0, other.forward().unwrap().0);
    let (own, loras) = (layer.gradients().unwrap(), other.gradients().unwrap());
    assert_eq!(own.x, loras.x);
    assert_eq!(own.adapter.b, loras.adapter.b);
}

#[test]
fn a_of_deficient_rank_is_refused() {
    let error = |a: Array2<f64>| {
        let b = Array2::zeros((2, a.nrows()));
        LoraFa::new(a, b, 1.0, Variant::Projected).unwrap_err().to_string()
    };
    // The third row is the sum of the others; more rows than columns; a zero row.
    let sum = error(array![[1.0, 2.0, 3.0, 4.0], [0.1, 0.7, 0.2, 0.9], [1.1, 2.7, 3.2, 4.9]]);
    assert!(sum.contains("A is [3, 4]") && sum.contains("row 2"), "{sum}");
    assert!(error(gaussian(5, 3, &mut rng(4))).contains("5 rows of length 3"));
    assert!(error(Array2::zeros((1, 3))).contains("row 0"));
    assert!(error(array![[1.0, f64::NAN]]).contains("row 0"));
    // In f32 too, where the noise is larger; and the plain variant needs none of it.
    let a = gaussian(5, 3, &mut rng(5)).mapv(|value| value as f32);
    let b = Array2::<f32>::zeros((2, 5));
    assert!(LoraFa::new(a.clone(), b.clone(), 1.0, Variant::Projected).is_err());
    assert!(LoraFa::new(a, b, 1.0, Variant::Plain).is_ok());
    let scale = LoraFa::new(array![[1.0]], array![[1.0]], 0.0, Variant::Projected).unwrap_err();
    assert!(scale.to_string().contains("scale"), "{scale}");
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

    /// Whatever the steps, the rows of ΔW stay combinations of the rows of A.
    #[test]
    fn the_row_space_stays_that_of_a(seed in any::<u64>(), steps in 1..6usize, projected in any::<bool>()) {
        let mut rng = rng(seed);
        let (out, inputs, rank) = (4, 9, 3);
        let variant = if projected { Variant::Projected } else { Variant::Plain };
        let a = gaussian(rank, inputs, &mut rng);
        let mut adapter = LoraFa::new(a.clone(), Array2::zeros((out, rank)), 2.0, variant).unwrap();
        let mut weight = gaussian(out, inputs, &mut rng);
        let mut sgd = Sgd { group: Group { lr: 0.1, weight_decay: 0.01 } };
        for _ in 0..steps {
            let x = gaussian(5, inputs, &mut rng).into_shared();
            let (y, saved) = adapter.forward(weight.view(), &x, None).unwrap();
            let (_, grads) = adapter.backward(weight.view(), &saved, y.view()).unwrap();
            adapter.step(&mut weight, &grads, &mut sgd).unwrap();
        }
        let delta = adapter.delta_weight();
        let of_a = rank::svd(a.view()).unwrap();
        let outside = &delta - &delta.dot(&of_a.vt.t()).dot(&of_a.vt);
        let size = delta.iter().fold(1.0, |max: f64, value| max.max(value.abs()));
        for value in outside {
            prop_assert!(value.abs() <= 1e-13 * size * inputs as f64, "{value:e}");
        }
    }
}
