//! Delta-LoRA: are the answers right?

use adapter::{Adapter, Group, Sgd};
use approx::assert_abs_diff_eq;
use delta_lora::{DeltaLora, Settings};
use exercises::work::delta_lora::{restore, sgd_twin, step};
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
        assert_eq!(step(old_weight.view(), f, factors(&old), factors(&delta.lora)), weight);
        assert_eq!(restore(weight.view(), f, factors(&start), factors(&delta.lora)), initial);
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
