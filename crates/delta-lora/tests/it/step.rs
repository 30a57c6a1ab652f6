//! Gradients, resuming, what dropout would break, and what is refused.

use crate::problem::{INPUTS, OUT, Problem, RANK};
use adapter::gradcheck::{Layer, SHAPES, integers};
use adapter::{AdamVariant, AdamW, Adapter, Dropout, Full, Group, Ledger, Sgd, tensors};
use delta_lora::{DeltaLora, Settings};
use lora::Lora;
use ndarray::{Array1, Array2};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn settings(lambda: f64, start_step: u64) -> Settings {
    Settings { lambda, start_step, include_scale: true }
}

fn adam() -> AdamW<f64> {
    AdamW::new(Group { lr: 0.05, weight_decay: 0.01 }, AdamVariant::Torch)
}

#[test]
fn gradients_are_exact() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        let [_, out, inputs, rank] = shape;
        let mut rng = ChaCha8Rng::seed_from_u64(seed as u64);
        let mut layer = Layer::new(shape, false, &mut rng, |rng| {
            let lora = Lora::new(integers(rng, rank, inputs), integers(rng, out, rank), 1.5);
            DeltaLora::new(lora.unwrap(), settings(2.0, 0)).unwrap()
        });
        let gradients = layer.gradients().unwrap();
        assert_eq!(layer.mismatches(&gradients).unwrap(), [], "{shape:?}");
    }
}

/// Until update K it is LoRA bit for bit, there is nothing to restore, and the total is LoRA's ΔW.
#[test]
fn before_its_start_it_is_lora() {
    let problem = Problem::new(3);
    let (mut delta, mut lora) =
        (DeltaLora::new(problem.lora(), settings(2.0, 10)).unwrap(), problem.lora());
    let (mut weight, mut frozen) = (problem.weight.clone(), problem.weight.clone());
    problem.train(&mut delta, &mut weight, &mut adam(), 10);
    problem.train(&mut lora, &mut frozen, &mut adam(), 10);
    assert_eq!((&delta.lora, &weight), (&lora, &problem.weight));
    let (a, b) = delta.total().unwrap();
    let delta_weight = lora.delta_weight(frozen.view()).unwrap();
    approx::assert_relative_eq!(b.dot(&a), delta_weight, epsilon = 1e-14); // s is elsewhere in the product
    delta.restore(&mut weight).unwrap();
    assert_eq!(weight, problem.weight);
}

/// Training that is interrupted goes on bit for bit: t, A_K and B_K are all there is beside LoRA's state and W.
#[test]
fn a_resumed_adapter_goes_on() {
    let problem = Problem::new(6);
    let fresh = || DeltaLora::new(problem.lora(), settings(2.0, 3)).unwrap();
    let (mut whole, mut whole_weight) = (fresh(), problem.weight.clone());
    problem.train(&mut whole, &mut whole_weight, &mut adam(), 8);
    for pause in [0, 2, 3, 4, 7] {
        let (mut paused, mut weight, mut adam) = (fresh(), problem.weight.clone(), adam());
        problem.train(&mut paused, &mut weight, &mut adam, pause);
        let start = paused.start().map(|matrix| matrix.to_owned());
        let (settings, updates) = (paused.settings(), paused.updates());
        let mut resumed = DeltaLora::resume(paused.lora, settings, updates, start).unwrap();
        problem.train(&mut resumed, &mut weight, &mut adam, 8 - pause);
        assert_eq!((&weight, &resumed.lora), (&whole_weight, &whole.lora), "paused after {pause}");
        let mut restored = weight.clone();
        resumed.restore(&mut restored).unwrap();
        let mut want = whole_weight.clone();
        whole.restore(&mut want).unwrap();
        assert_eq!(restored, want, "paused after {pause}");
    }
}

/// An adapter whose A and B are set after `new`, as a loader does, counts from those.
#[test]
fn it_starts_from_the_a_and_b_of_its_first_step() {
    let problem = Problem::new(8);
    let mut blank = problem.lora();
    blank.b.fill(0.0);
    let mut delta = DeltaLora::new(blank, settings(2.0, 0)).unwrap();
    delta.lora.b.assign(&problem.b);
    let mut weight = problem.weight.clone();
    problem.train(&mut delta, &mut weight, &mut adam(), 1);
    assert_eq!(delta.start(), [problem.a.view(), problem.b.view()]);
}

/// Two more matrices than LoRA: 2 r (in + out) numbers held, r (in + out) trained.
#[test]
fn counts_and_bytes() {
    let adapter = DeltaLora::new(Problem::new(9).lora(), Settings::default()).unwrap();
    assert_eq!(tensors::count(&adapter), RANK * (INPUTS + OUT));
    assert_eq!(Ledger::of(&adapter), 8 * 2 * RANK * (INPUTS + OUT));
}

/// With a mask, ∂L/∂ΔW = Gᵀx̃ is not ∂L/∂W = Gᵀx. Over the masks E ‖Gᵀ(x̃ − x)‖²_F = p/(1−p) Σ_t ‖G_t‖²‖x_t‖²: an
/// element of x̃ − x has variance p/(1−p) x².
#[test]
fn dropout_parts_the_two_gradients() {
    let problem = Problem::new(7);
    let weight = problem.weight.view();
    // A = I, B = 0, s = 1: the gradient of B is that of ΔW.
    let lora = Lora::new(Array2::eye(INPUTS), Array2::zeros((OUT, INPUTS)), 1.0).unwrap();
    let full = Full;
    let (y, saved) = full.forward(weight, &problem.x, None).unwrap();
    let grad_y = y - &problem.target;
    let of_weight = full.backward(weight, &saved, grad_y.view()).unwrap().1.weight;
    let masks = 400;
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for p in [0.0, 0.1, 0.3] {
        let squares = Array1::from_shape_simple_fn(masks, || {
            let mask = Dropout::draw(problem.x.dim(), p, &mut rng).unwrap();
            let (_, saved) = lora.forward(weight, &problem.x, Some(&mask)).unwrap();
            let of_delta = lora.backward(weight, &saved, grad_y.view()).unwrap().1.b;
            (of_delta - &of_weight).mapv(|d| d * d).sum()
        });
        let expected = p / (1.0 - p)
            * grad_y
                .outer_iter()
                .zip(problem.x.outer_iter())
                .map(|(g, x)| g.dot(&g) * x.dot(&x))
                .sum::<f64>();
        let error = squares.std(1.0) / f64::from(masks as u32).sqrt();
        let mean = squares.mean().unwrap();
        // Five standard errors: one chance in two million. Without dropout both are 0 up to the rounding of Gᵀx.
        assert!(
            (mean - expected).abs() <= 5.0 * error + 1e-24,
            "p = {p}: {mean}, expected {expected} ± {error}"
        );
        assert!(p == 0.0 || mean > 0.01 * of_weight.mapv(|g| g * g).sum(), "p = {p}: {mean}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let problem = Problem::new(7);
    for lambda in [-1.0, f64::NAN, f64::INFINITY] {
        let error = DeltaLora::new(problem.lora(), settings(lambda, 0)).unwrap_err().to_string();
        assert!(error.contains("lambda is "), "{error}");
    }
    let mut adapter = DeltaLora::new(problem.lora(), settings(2.0, 0)).unwrap();
    let mask = Dropout::new(Array2::ones(problem.x.dim()), 0.1).unwrap();
    let error = adapter.forward(problem.weight.view(), &problem.x, Some(&mask)).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("dropout") && error.contains("∂L/∂W"), "{error}");

    let grads = lora::Grads { a: problem.a.clone(), b: problem.b.clone() };
    let mut sgd = Sgd { group: Group { lr: 0.1, weight_decay: 0.0 } };
    let (before, mut wrong) = (adapter.clone(), Array2::zeros((OUT, 3)));
    for error in [
        adapter.step(&mut wrong, &grads, &mut sgd).unwrap_err().to_string(),
        adapter.restore(&mut wrong).unwrap_err().to_string(),
    ] {
        assert!(error.contains("weight has shape [5, 3] where [5, 7] is needed"), "{error}");
    }
    // Gradients of another adapter: nothing moves, A with its fitting gradient neither.
    let of_another = lora::Grads { a: problem.a.clone(), b: Array2::ones((OUT, 1)) };
    let mut weight = problem.weight.clone();
    let error = adapter.step(&mut weight, &of_another, &mut sgd).unwrap_err().to_string();
    assert!(error.contains("lora_B has shape [5, 1] where [5, 2] is needed"), "{error}");
    assert_eq!(weight, problem.weight);
    assert_eq!(adapter, before, "a refused step must change nothing");

    // `lora` is public.
    let mut replaced = adapter.clone();
    replaced.step(&mut problem.weight.clone(), &grads, &mut sgd).unwrap();
    replaced.lora = Lora::new(Array2::zeros((2, 3)), Array2::zeros((OUT, 2)), 1.0).unwrap();
    for error in [
        replaced.total().unwrap_err().to_string(),
        replaced.restore(&mut Array2::zeros((OUT, 3))).unwrap_err().to_string(),
    ] {
        assert!(error.contains("A has shape [2, 3] where [2, 7] is needed"), "{error}");
    }

    for (start, name) in [
        ([Array2::zeros((1, INPUTS)), problem.b.clone()], "A_K has shape [1, 7] where [2, 7]"),
        ([problem.a.clone(), Array2::zeros((OUT, 1))], "B_K has shape [5, 1] where [5, 2]"),
    ] {
        let error = DeltaLora::resume(problem.lora(), settings(2.0, 0), 1, start).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}
