//! Gradients, the move of W, and what all its moves come to.

use adapter::gradcheck::{Layer, SHAPES, integers};
use adapter::{AdamVariant, AdamW, Adapter, Dropout, Group, Optimizer, Sgd};
use delta_lora::{DeltaLora, Settings};
use lora::Lora;
use ndarray::{ArcArray2, Array2, array};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const OUT: usize = 5;
const INPUTS: usize = 7;
const RANK: usize = 2;
const SCALE: f64 = 1.5;

fn settings(lambda: f64, start_step: u64) -> Settings {
    Settings { lambda, start_step, include_scale: true }
}

fn gaussian(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Array2<f64> {
    Array2::random_using((rows, columns), StandardNormal, rng)
}

/// A layer, and what it is to learn: the least squares of y − target.
struct Problem {
    weight: Array2<f64>,
    x: ArcArray2<f64>,
    target: Array2<f64>,
    a: Array2<f64>,
    b: Array2<f64>,
}

impl Problem {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Self {
            weight: gaussian(OUT, INPUTS, &mut rng),
            x: gaussian(12, INPUTS, &mut rng).into_shared(),
            target: gaussian(12, OUT, &mut rng),
            a: gaussian(RANK, INPUTS, &mut rng),
            b: gaussian(OUT, RANK, &mut rng),
        }
    }

    /// B = 0, as training starts.
    fn at_zero(seed: u64) -> Self {
        let problem = Self::new(seed);
        Self { b: Array2::zeros((OUT, RANK)), ..problem }
    }

    fn lora(&self, scale: f64) -> Lora<f64> {
        Lora::new(self.a.clone(), self.b.clone(), scale).unwrap()
    }

    fn step<A: Adapter<f64>>(
        &self,
        adapter: &mut A,
        weight: &mut Array2<f64>,
        optimizer: &mut dyn Optimizer<f64>,
    ) {
        let (y, saved) = adapter.forward(weight.view(), &self.x, None).unwrap();
        let grad_y = (y - &self.target) / self.x.nrows() as f64;
        let (_, grads) = adapter.backward(weight.view(), &saved, grad_y.view()).unwrap();
        adapter.step(weight, &grads, optimizer).unwrap();
    }

    /// W + ΔW after `steps`, and the adapter.
    fn train<A: Adapter<f64>>(
        &self,
        mut adapter: A,
        optimizer: &mut dyn Optimizer<f64>,
        steps: usize,
    ) -> (Array2<f64>, Array2<f64>, A) {
        let mut weight = self.weight.clone();
        for _ in 0..steps {
            self.step(&mut adapter, &mut weight, optimizer);
        }
        (weight.clone() + adapter.delta_weight(), weight, adapter)
    }
}

fn adam(lr: f64, eps: f64, weight_decay: f64) -> AdamW<f64> {
    AdamW { eps, ..AdamW::new(Group { lr, weight_decay }, AdamVariant::Torch) }
}

fn largest(matrix: &Array2<f64>) -> f64 {
    // A NaN must not be passed over: max ignores it, a sum does not.
    assert!(matrix.sum().is_finite(), "{matrix}");
    matrix.iter().fold(0.0, |max, value| max.max(value.abs()))
}

#[test]
fn gradients_are_exact() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        let [_, out, inputs, rank] = shape;
        let mut layer =
            Layer::new(shape, false, &mut ChaCha8Rng::seed_from_u64(seed as u64), |rng| {
                let lora = Lora::new(integers(rng, rank, inputs), integers(rng, out, rank), 1.5);
                DeltaLora::new(lora.unwrap(), settings(2.0, 0)).unwrap()
            });
        let gradients = layer.gradients().unwrap();
        assert_eq!(layer.mismatches(&gradients).unwrap(), [], "{shape:?}");
    }
}

/// Integers, so the move is exact; and the two wrong moves seen in ports are other numbers.
#[test]
fn the_move_is_the_difference_of_the_products() {
    let (a, b) = (array![[1.0, 2.0, 0.0]], array![[3.0], [1.0]]);
    let grads = lora::Grads { a: array![[1.0, 0.0, 1.0]], b: array![[1.0], [-2.0]] };
    let (next_a, next_b) = (&a - &grads.a, &b - &grads.b); // SGD at rate 1
    let moved = (next_b.dot(&next_a) - b.dot(&a)) * (2.0 * 0.5);
    for (include_scale, want) in [(true, moved.clone()), (false, &moved * 2.0)] {
        let lora = Lora::new(a.clone(), b.clone(), 0.5).unwrap();
        let settings = Settings { include_scale, ..settings(2.0, 0) };
        let mut adapter = DeltaLora::new(lora, settings).unwrap();
        let mut weight = Array2::zeros((2, 3));
        let mut sgd = Sgd { group: Group { lr: 1.0, weight_decay: 0.0 } };
        adapter.step(&mut weight, &grads, &mut sgd).unwrap();
        assert_eq!(weight, want);
    }
    let wrong = (&next_b - &b).dot(&(&next_a - &a)); // (B⁺ − B)(A⁺ − A)
    assert_ne!(moved, wrong);
}

/// W rests for K updates and moves in update K + 1, by that update's difference: not one later, and K = 0 is no switch.
#[test]
fn w_moves_from_update_k_plus_1_on() {
    for start in [0, 1, 3] {
        let problem = Problem::new(1);
        let mut adapter = DeltaLora::new(problem.lora(SCALE), settings(2.0, start)).unwrap();
        let (mut weight, mut sgd) =
            (problem.weight.clone(), Sgd { group: Group { lr: 0.01, weight_decay: 0.0 } });
        for t in 1..=5 {
            let (before, product) = (weight.clone(), adapter.lora.b.dot(&adapter.lora.a));
            problem.step(&mut adapter, &mut weight, &mut sgd);
            let moved = &weight - &before;
            if t <= start {
                assert_eq!(weight, problem.weight, "K = {start}, t = {t}");
            } else {
                let want = (adapter.lora.b.dot(&adapter.lora.a) - product) * (2.0 * SCALE);
                assert!(largest(&want) > 1e-3, "a move that is nothing proves nothing");
                assert!(largest(&(moved - want)) <= 1e-14 * 20.0, "K = {start}, t = {t}");
            }
        }
    }
}

/// W_T = W₀ + λ s (B_T A_T − B_K A_K): `restore` takes it back, `total` has it as factors, and its rank is at most 2r.
#[test]
fn the_moves_telescope() {
    for start in [0, 3] {
        let problem = Problem::new(2);
        let delta = DeltaLora::new(problem.lora(SCALE), settings(2.0, start)).unwrap();
        let mut adam = adam(0.05, 1e-8, 0.01);
        let steps = 40;
        let (effective, mut weight, adapter) = problem.train(delta, &mut adam, steps);
        // Each move rounds W once, by ε/2 of its entries, and 40 of them add up.
        let bound = steps as f64 * f64::EPSILON * largest(&weight) * 4.0;

        let rank = rank::svd((&weight - &problem.weight).view()).unwrap();
        let noise = rank.s[0] * 1e-12;
        assert_eq!(rank.rank(rank::Tolerance::Absolute(noise)), 2 * RANK, "K = {start}");

        let (a, b) = adapter.total();
        assert!(largest(&(&problem.weight + &b.dot(&a) - &effective)) <= bound);
        adapter.restore(&mut weight).unwrap();
        assert!(largest(&(weight - &problem.weight)) <= bound);
    }
}

/// Before its start, nothing is to be restored, and the total is LoRA's.
#[test]
fn before_the_start_it_is_lora() {
    let problem = Problem::new(3);
    let delta = DeltaLora::new(problem.lora(SCALE), settings(2.0, 100)).unwrap();
    let (effective, mut weight, adapter) = problem.train(delta, &mut adam(0.05, 1e-8, 0.0), 10);
    let (loras, ..) = problem.train(problem.lora(SCALE), &mut adam(0.05, 1e-8, 0.0), 10);
    assert_eq!(effective, loras);
    let (a, b) = adapter.total();
    approx::assert_relative_eq!(b.dot(&a), adapter.delta_weight(), epsilon = 1e-14);
    adapter.restore(&mut weight).unwrap();
    assert_eq!(weight, problem.weight);
}

/// K = 0 and B₀ = 0. Then W₀ + (1 + λ) s B A is the layer at every moment, so the gradients of A and B are LoRA's at
/// scale (1 + λ) s divided by 1 + λ. Adam divides that out again when ε is divided too.
#[test]
fn under_adam_it_is_lora_with_another_scale() {
    for lambda in [0.5, 2.0] {
        let problem = Problem::at_zero(4);
        let delta = DeltaLora::new(problem.lora(SCALE), settings(lambda, 0)).unwrap();
        let (mut first, mut second) =
            (adam(0.02, 1e-6, 0.01), adam(0.02, 1e-6 * (1.0 + lambda), 0.01));
        let steps = 50;
        let (ours, ..) = problem.train(delta, &mut first, steps);
        let (loras, ..) = problem.train(problem.lora((1.0 + lambda) * SCALE), &mut second, steps);
        let difference = largest(&(&ours - &loras));
        // Rounding only: some tens of operations a step, each ε of numbers near 1, amplified little by a convex problem.
        assert!(difference <= 100.0 * steps as f64 * f64::EPSILON, "λ = {lambda}: {difference:e}");
        assert!(
            largest(&(ours - &problem.weight)) > 0.1,
            "a run that changes nothing proves nothing"
        );
    }
}

/// The same under SGD: rate η/(1 + λ), decay β (1 + λ).
#[test]
fn under_sgd_it_is_lora_with_another_scale_and_rate() {
    for lambda in [0.5, 2.0] {
        let problem = Problem::at_zero(5);
        let (lr, weight_decay) = (0.005, 0.01);
        let delta = DeltaLora::new(problem.lora(SCALE), settings(lambda, 0)).unwrap();
        let mut first = Sgd { group: Group { lr, weight_decay } };
        let group = Group { lr: lr / (1.0 + lambda), weight_decay: weight_decay * (1.0 + lambda) };
        let mut second = Sgd { group };
        let steps = 50;
        let (ours, ..) = problem.train(delta, &mut first, steps);
        let (loras, ..) = problem.train(problem.lora((1.0 + lambda) * SCALE), &mut second, steps);
        let difference = largest(&(&ours - &loras));
        assert!(difference <= 100.0 * steps as f64 * f64::EPSILON, "λ = {lambda}: {difference:e}");
        assert!(
            largest(&(ours - &problem.weight)) > 0.1,
            "a run that changes nothing proves nothing"
        );
    }
}

/// Training that is interrupted goes on bit for bit: t, A_K and B_K are all there is beside LoRA's state and W.
#[test]
fn a_resumed_adapter_goes_on() {
    let problem = Problem::new(6);
    let delta = || DeltaLora::new(problem.lora(SCALE), settings(2.0, 3)).unwrap();
    let (whole, ..) = problem.train(delta(), &mut adam(0.05, 1e-8, 0.0), 8);
    for pause in [2, 3, 5] {
        let mut adam = adam(0.05, 1e-8, 0.0);
        let (_, mut weight, paused) = problem.train(delta(), &mut adam, pause);
        let start = paused.start().map(|matrix| matrix.to_owned());
        let mut resumed =
            DeltaLora::resume(paused.lora.clone(), paused.settings(), paused.updates(), start)
                .unwrap();
        for _ in pause..8 {
            problem.step(&mut resumed, &mut weight, &mut adam);
        }
        assert_eq!(weight + resumed.delta_weight(), whole, "paused after {pause}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let problem = Problem::new(7);
    for lambda in [-1.0, f64::NAN, f64::INFINITY] {
        let error = DeltaLora::new(problem.lora(SCALE), settings(lambda, 0)).unwrap_err();
        assert!(error.to_string().contains("lambda"), "{error}");
    }
    let mut adapter = DeltaLora::new(problem.lora(SCALE), settings(2.0, 0)).unwrap();
    let mask = Dropout::new(Array2::ones(problem.x.dim()), 0.1).unwrap();
    let error = adapter.forward(problem.weight.view(), &problem.x, Some(&mask)).unwrap_err();
    assert!(
        error.to_string().contains("dropout") && error.to_string().contains("∂L/∂W"),
        "{error}"
    );
    let grads = lora::Grads { a: problem.a.clone(), b: problem.b.clone() };
    let mut sgd = Sgd { group: Group { lr: 0.1, weight_decay: 0.0 } };
    let before = adapter.clone();
    assert!(adapter.step(&mut Array2::zeros((OUT, 3)), &grads, &mut sgd).is_err());
    assert_eq!(adapter, before, "a failed step must change nothing");
    assert!(adapter.restore(&mut Array2::zeros((OUT, 3))).is_err());
    let wrong = [Array2::zeros((1, INPUTS)), problem.b.clone()];
    assert!(DeltaLora::resume(problem.lora(SCALE), settings(2.0, 0), 1, wrong).is_err());
}

proptest! {
    /// One step changes B A by a matrix of rank 2r at most, and (B⁺ − B)(A⁺ − A) by one of rank r: never the same thing.
    #[test]
    fn one_step_moves_w_by_rank_2r(seed in any::<u64>()) {
        let problem = Problem::new(seed);
        let delta = DeltaLora::new(problem.lora(SCALE), settings(2.0, 0)).unwrap();
        let mut sgd = Sgd { group: Group { lr: 0.1, weight_decay: 0.0 } };
        let (_, weight, _) = problem.train(delta, &mut sgd, 1);
        let moved = rank::svd((&weight - &problem.weight).view()).unwrap();
        let noise = moved.s[0] * 1e-11;
        prop_assert_eq!(moved.rank(rank::Tolerance::Absolute(noise)), 2 * RANK);
    }
}
