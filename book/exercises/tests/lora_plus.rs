//! LoRA+: are the answers right?

use adapter::{Adapter, Group, Sgd};
use exercises::looks::right;
use exercises::work::lora_plus::{fair, invariant, parts, rates};
use lora::Lora;
use lora_plus::{Groups, Kind, LoraPlus};
use ndarray::{Array2, array};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

#[test]
fn rates_of_the_crate_lora_plus() {
    let (base, groups) = (Group { lr: 0.5, weight_decay: 0.25 }, Groups::new(16.0).unwrap());
    for (name, dimensions) in [
        ("q_proj.lora_A", 2),
        ("q_proj.lora_B", 2),
        ("q_proj.lora_B.bias", 1),
        ("q_proj.bias", 1),
        ("bias", 1),
        ("head.weight", 2),
    ] {
        let want = groups.of(name, dimensions, Kind::Linear, base);
        let got = rates(name, dimensions, 0.5, 16.0, 0.25);
        assert_eq!(got, (want.lr, want.weight_decay), "{name}");
    }
}

/// On integers nothing rounds: the three parts add up to f after minus f before, and each is its own experiment.
#[test]
fn the_parts_of_an_update() {
    let (a, b, x, y) = (array![1.0, -2.0, 3.0], 2.0, array![2.0, 1.0, 1.0], 7.0);
    let f = |a: &ndarray::Array1<f64>, b: f64| b * a.dot(&x);
    let (lr_a, lr_b) = (0.5, 2.0);
    let u = f(&a, b) - y;
    let (moved_a, moved_b) = (&a - &x * (lr_a * u * b), b - lr_b * u * a.dot(&x));
    let [first, second, third] = parts(a.view(), b, x.view(), y, [lr_a, lr_b]);
    assert_eq!(first, f(&moved_a, b) - f(&a, b));
    assert_eq!(second, f(&a, moved_b) - f(&a, b));
    assert_eq!(first + second + third, f(&moved_a, moved_b) - f(&a, b));
}

/// The drift is of second order in the rates: over a given time it falls ten times when they do. Between 8 and 12 times
/// here, for the third order is not nothing.
#[test]
fn what_training_conserves() {
    let drift = |lr_a: f64, steps: usize| {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut gaussian = |m, n| -> Array2<f64> {
            Array2::from_shape_simple_fn((m, n), || StandardNormal.sample(&mut rng))
        };
        let (a, b) = (gaussian(2, 6), gaussian(5, 2));
        let (mut weight, x, target) =
            (gaussian(5, 6), gaussian(12, 6).into_shared(), gaussian(12, 5));
        let lora = Lora::new(a, b, 1.5).unwrap();
        let mut layer = LoraPlus { lora, groups: Groups::new(4.0).unwrap() };
        let of = |lora: &Lora<f64>| invariant(lora.a.view(), lora.b.view(), [1.0, 4.0]);
        let start = layer.lora.clone();
        let mut sgd = Sgd { group: Group { lr: lr_a, weight_decay: 0.0 } };
        for _ in 0..steps {
            let (y, saved) = layer.forward(weight.view(), &x, None).unwrap();
            let grad_y = (y - &target) / 12.0;
            let (_, grads) = layer.backward(weight.view(), &saved, grad_y.view()).unwrap();
            layer.step(&mut weight, &grads, &mut sgd).unwrap();
        }
        assert!((&layer.lora.a - &start.a).mapv(f64::abs).sum() > 0.1, "it must have trained");
        (of(&layer.lora) - of(&start)).mapv(f64::abs).sum()
    };
    let ratio = drift(1e-3, 100) / drift(1e-4, 1000);
    assert!((8.0..12.0).contains(&ratio), "{ratio}");
}

/// Near the edge the update is a linear map of (h, b) with eigenvalues 1 ± e √(η_A η_B) ‖x‖: they must be LoRA's.
#[test]
fn two_rates_as_near_to_the_edge_as_one() {
    let eigenvalue = |lr_a: f64, lr_b: f64| 1.0 + 0.3 * (lr_a * lr_b).sqrt() * 5.0;
    for (lr, ratio) in [(0.01, 16.0), (2.0, 1.0), (3e-4, 2.5)] {
        let [lr_a, lr_b] = fair(lr, ratio);
        let root = f64::sqrt(ratio);
        let mistakes = [
            ("A has LoRA's rate, so that the product is λ times as large", array![lr, lr * ratio]),
            ("B has LoRA's rate", array![lr / ratio, lr]),
            ("the ratio is λ² and not λ", array![lr / ratio, lr * ratio]),
            ("A and B are exchanged", array![lr * root, lr / root]),
        ];
        right("[η_A, η_B]", &array![lr_a, lr_b], &array![lr / root, lr * root], &mistakes);
        assert!((lr_b / lr_a / ratio - 1.0).abs() < 1e-12);
        assert!((eigenvalue(lr_a, lr_b) - eigenvalue(lr, lr)).abs() < 1e-12);
    }
}
