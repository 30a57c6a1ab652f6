//! Which tensor gets which rate and decay, and what a step does with them.

use adapter::gradcheck::{Layer, SHAPES, integers};
use adapter::{AdamVariant, AdamW, Adapter, Group, Ledger, Sgd, tensors};
use lora::{Init, Lora, Scaling};
use lora_plus::{Groups, Kind, LoraPlus, Rule};
use ndarray::{Array2, array};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const BASE: Group = Group { lr: 0.5, weight_decay: 0.25 };

fn adapter() -> LoraPlus<f64> {
    let lora = Lora::new(array![[1.0, 2.0, 4.0]], array![[8.0], [-4.0]], 0.5).unwrap();
    LoraPlus { lora, groups: Groups::new(4.0).unwrap() }
}

#[test]
fn rates_and_decay_by_tensor() {
    let groups = Groups::new(16.0).unwrap();
    let lora_b_only = Groups { rule: Rule::LoraBOnly, ..groups };
    let of = |groups: &Groups, name, dimensions, kind| {
        let Group { lr, weight_decay } = groups.of(name, dimensions, kind, BASE);
        (lr, weight_decay)
    };
    for groups in [&groups, &lora_b_only] {
        assert_eq!(of(groups, "q_proj.lora_A", 2, Kind::Linear), (0.5, 0.25));
        assert_eq!(of(groups, "q_proj.lora_B", 2, Kind::Linear), (8.0, 0.25));
        assert_eq!(of(groups, "embed.lora_embedding_B", 2, Kind::Embedding), (1e-6, 0.25));
        assert_eq!(of(groups, "embed.lora_embedding_A", 2, Kind::Embedding), (1e-6, 0.25));
        // An embedding that is trained itself is like any other matrix.
        assert_eq!(of(groups, "embed.weight", 2, Kind::Embedding), (0.5, 0.25));
        assert_eq!(of(groups, "q_proj.lora_B.bias", 1, Kind::Linear), (8.0, 0.0));
    }
    // One dimension: where the two rules differ. No decay either way.
    assert_eq!(of(&groups, "fc.bias", 1, Kind::Linear), (8.0, 0.0));
    assert_eq!(of(&lora_b_only, "fc.bias", 1, Kind::Linear), (0.5, 0.0));
    assert_eq!(of(&groups, "ln.weight", 1, Kind::Norm), (8.0, 0.0));
    assert_eq!(of(&lora_b_only, "ln.weight", 1, Kind::Norm), (0.5, 0.0));
}

/// A and B at η and λη, and decay at each one's own rate: p − lr (g + β p).
#[test]
fn a_step_of_sgd() {
    let mut adapter = adapter();
    let grads = lora::Grads { a: array![[1.0, 0.0, -1.0]], b: array![[2.0], [0.0]] };
    let (mut weight, mut sgd) = (Array2::ones((2, 3)), Sgd { group: BASE });
    adapter.step(&mut weight, &grads, &mut sgd).unwrap();
    assert_eq!(adapter.lora.a, array![[0.375, 1.75, 4.0]]); // rate 1/2, decay 1/4
    assert_eq!(adapter.lora.b, array![[0.0], [-2.0]]); // rate 2
    assert_eq!(weight, Array2::<f64>::ones((2, 3)));
}

/// λ = 1 is LoRA. Adam's first step has length η whatever the gradient (ε = 0), so B moves λ times as far as A.
#[test]
fn lambda_is_the_ratio_of_the_steps() {
    let grads = lora::Grads { a: array![[1.0, -2.0, 3.0]], b: array![[-5.0], [7.0]] };
    let group = Group { lr: 0.01, weight_decay: 0.0 };
    for lambda in [1.0, 16.0] {
        let mut adapter = adapter();
        adapter.groups.ratio = lambda;
        let before = adapter.lora.clone();
        let mut adam = AdamW { eps: 0.0, ..AdamW::new(group, AdamVariant::Torch) };
        adapter.step(&mut Array2::zeros((2, 3)), &grads, &mut adam).unwrap();
        for (moved, want) in [
            (&adapter.lora.a - &before.a, array![[-0.01, 0.01, -0.01]]),
            (&adapter.lora.b - &before.b, array![[0.01 * lambda], [-0.01 * lambda]]),
        ] {
            // The step is rounded once at the size of the parameter, up to 8.
            approx::assert_abs_diff_eq!(moved, want, epsilon = 8.0 * f64::EPSILON);
        }
        if lambda == 1.0 {
            let mut lora = before;
            let mut adam = AdamW { eps: 0.0, ..AdamW::new(group, AdamVariant::Torch) };
            lora.step(&mut Array2::zeros((2, 3)), &grads, &mut adam).unwrap();
            assert_eq!(lora, adapter.lora);
        }
    }
}

#[test]
fn gradients_are_exact() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        let [_, out, inputs, rank] = shape;
        for drop in [false, true] {
            let mut rng = ChaCha8Rng::seed_from_u64(seed as u64);
            let mut layer = Layer::new(shape, drop, &mut rng, |rng| {
                let lora = Lora::new(integers(rng, rank, inputs), integers(rng, out, rank), 1.5);
                LoraPlus { lora: lora.unwrap(), groups: Groups::new(16.0).unwrap() }
            });
            let gradients = layer.gradients().unwrap();
            assert_eq!(layer.mismatches(&gradients).unwrap(), [], "{shape:?}, {drop}");
        }
    }
}

/// Init[2]: A = 0, B uniform with fan-in r; the start is unchanged and A moves first.
#[test]
fn the_second_start() {
    let (out, inputs, rank) = (300, 40, 16);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let init = Init::KaimingUniformB;
    let lora =
        Lora::<f64>::init([out, inputs], rank, 8.0, Scaling::AlphaOverR, init, &mut rng).unwrap();
    assert_eq!(lora.a, Array2::<f64>::zeros((rank, inputs)));
    let bound = 1.0 / (rank as f64).sqrt();
    assert!(lora.b.iter().all(|b| b.abs() <= bound));
    // Var = 1/(3r); its standard error is Var·√(4/5/n), as for any U(±c).
    let (variance, n) = (lora.b.mapv(|b| b * b).mean().unwrap(), (out * rank) as f64);
    let want = bound * bound / 3.0;
    assert!((variance - want).abs() <= 5.0 * want * (0.8 / n).sqrt(), "{variance}, {want}");
}

#[test]
fn a_ratio_that_makes_no_sense_is_refused() {
    for ratio in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = Groups::new(ratio).unwrap_err();
        assert!(error.to_string().contains("ratio"), "{error}");
    }
    assert!(Groups::new(0.5).is_ok());
}

/// What is held and trained is LoRA's: two numbers of `Groups` are not an array.
#[test]
fn counts_and_bytes() {
    assert_eq!(tensors::count(&adapter()), 3 + 2);
    assert_eq!(Ledger::of(&adapter()), Ledger::of(&adapter().lora));
    assert_eq!(Ledger::of(&adapter()), 8 * (3 + 2));
}
