//! Delta-LoRA: are the answers right?

use adapter::{Adapter, Group, Sgd};
use approx::assert_abs_diff_eq;
use delta_lora::{DeltaLora, Settings};
use exercises::looks::right;
use exercises::work::delta_lora::{moved, restore, sgd_twin, step};
use lora::{Grads, Lora};
use ndarray::{Array2, ArrayView2};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

const LAMBDA: f64 = 2.0;
const SCALE: f64 = 1.5;

/// Integers, so that nothing rounds below.
fn integers(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || {
        let value: f64 = StandardNormal.sample(rng);
        (2.0 * value).round()
    })
}

fn factors(lora: &Lora<f64>) -> (ArrayView2<'_, f64>, ArrayView2<'_, f64>) {
    (lora.a.view(), lora.b.view())
}

#[test]
fn moves_of_the_crate_delta_lora() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let (out, inputs, rank) = (5, 7, 2);
    let start =
        Lora::new(integers(rank, inputs, &mut rng), integers(out, rank, &mut rng), SCALE).unwrap();
    let settings = Settings { lambda: LAMBDA, start_step: 0, include_scale: true };
    let mut delta = DeltaLora::new(start.clone(), settings).unwrap();
    let initial = integers(out, inputs, &mut rng);
    let (mut weight, mut sgd) =
        (initial.clone(), Sgd { group: Group { lr: 1.0, weight_decay: 0.0 } });
    for _ in 0..4 {
        let grads = Grads { a: integers(rank, inputs, &mut rng), b: integers(out, rank, &mut rng) };
        let (old_weight, old) = (weight.clone(), delta.lora.clone());
        delta.step(&mut weight, &grads, &mut sgd).unwrap();
        let f = LAMBDA * SCALE;
        let [was, is] = [factors(&old), factors(&delta.lora)];
        let (both, way) = ((&is.1 - &was.1).dot(&(&is.0 - &was.0)), &weight - &old_weight);
        let mistakes = [
            ("it is the product of the differences", &old_weight + &(both * f)),
            ("λ s is missing", &old_weight + &(&way / f)),
            ("it goes the other way", &old_weight - &way),
            ("it is the move alone, without W", way.clone()),
        ];
        right("W", &step(old_weight.view(), f, was, is), &weight, &mistakes);
        let back = restore(weight.view(), f, factors(&start), is);
        let mistakes = [("it takes back the last move only", old_weight.clone())];
        right("W₀", &back, &initial, &mistakes);
    }
}

/// W + ΔW after 30 steps of least squares.
fn train<A: Adapter<f64>>(mut adapter: A, lr: f64, weight_decay: f64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut gaussian =
        |m, n| Array2::from_shape_simple_fn((m, n), || StandardNormal.sample(&mut rng));
    let mut weight: Array2<f64> = gaussian(5, 7);
    let (x, target) = (gaussian(12, 7).into_shared(), gaussian(12, 5));
    let mut sgd = Sgd { group: Group { lr, weight_decay } };
    for _ in 0..30 {
        let (y, saved) = adapter.forward(weight.view(), &x, None).unwrap();
        let grad_y = (y - &target) / 12.0;
        let (_, grads) = adapter.backward(weight.view(), &saved, grad_y.view()).unwrap();
        adapter.step(&mut weight, &grads, &mut sgd).unwrap();
    }
    adapter.merge(&mut weight).unwrap();
    weight
}

#[test]
fn lora_that_takes_the_same_path() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let (a, b) = (integers(2, 7, &mut rng) / 4.0, Array2::zeros((5, 2)));
    let (lr, weight_decay) = (0.01, 0.1);
    let [scale, twin_lr, twin_decay] = sgd_twin(LAMBDA, [SCALE, lr, weight_decay]);
    let lora = Lora::new(a.clone(), b.clone(), scale).unwrap();
    let settings = Settings { lambda: LAMBDA, start_step: 0, include_scale: true };
    let delta = DeltaLora::new(Lora::new(a, b, SCALE).unwrap(), settings).unwrap();
    // 30 updates, each some tens of roundings of numbers near 1; a decay that is not scaled shows at 1e-3.
    let (want, got) = (train(delta, lr, weight_decay), train(lora, twin_lr, twin_decay));
    assert_abs_diff_eq!(got, want, epsilon = 1e-12);
}

#[test]
fn when_w_begins_to_move() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (out, inputs, rank, updates) = (5, 7, 2, 5);
    for k in [0, 1, 3, 7] {
        let start =
            Lora::new(integers(rank, inputs, &mut rng), integers(out, rank, &mut rng), SCALE);
        let settings = Settings { lambda: LAMBDA, start_step: k as u64, include_scale: true };
        let mut delta = DeltaLora::new(start.unwrap(), settings).unwrap();
        let mut weight = Array2::zeros((out, inputs));
        let mut sgd = Sgd { group: Group { lr: 1.0, weight_decay: 0.0 } };
        let mut history = vec![(delta.lora.a.clone(), delta.lora.b.clone())];
        for _ in 0..updates {
            let grads =
                Grads { a: integers(rank, inputs, &mut rng), b: integers(out, rank, &mut rng) };
            delta.step(&mut weight, &grads, &mut sgd).unwrap();
            history.push((delta.lora.a.clone(), delta.lora.b.clone()));
        }
        let f = LAMBDA * SCALE;
        let from = |k: usize| {
            let product = |(a, b): &(Array2<f64>, Array2<f64>)| b.dot(a);
            (product(&history[updates]) - product(&history[k.min(updates)])) * f
        };
        let mistakes = [
            ("W moves one update late", from(k + 1)),
            ("W moves one update early", from(k.saturating_sub(1))),
            ("W moves from the first update on", from(0)),
            ("W never moves", Array2::zeros((out, inputs))),
            ("λ s is missing", &weight / f),
        ];
        right(&format!("W_T − W₀ with K = {k}"), &moved(&history, f, k), &weight, &mistakes);
    }
}
