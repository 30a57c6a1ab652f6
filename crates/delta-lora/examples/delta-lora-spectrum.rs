//! What all the moves of W come to: `cargo run -p lowrank-delta-lora --example delta-lora-spectrum`.
//!
//! The singular values of W_T − W₀, the LoRA that takes the same path, and what dropout would do to the premise. The book's
//! chapter has the proofs; `tests/it/telescoping.rs`, `tests/it/identity.rs` and `tests/it/step.rs` assert what this prints.

use adapter::{AdamVariant, AdamW, Adapter, Dropout, Full, Group, Optimizer, Sgd};
use delta_lora::{DeltaLora, Settings};
use lora::{Init, Lora, Scaling};
use ndarray::{ArcArray2, Array2, s};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rank::frobenius;

type Result<T = (), E = adapter::Error> = std::result::Result<T, E>;

const OUT: usize = 12;
const INPUTS: usize = 16;
const LAMBDA: f64 = 2.0;
const UPDATES: u64 = 200;

fn main() -> Result {
    let task = Task::new(&mut ChaCha8Rng::seed_from_u64(1));
    spectrum(&task)?;
    the_same_path(&task)?;
    dropout(&task)
}

/// Least squares towards a layer that differs from W in every direction.
struct Task {
    weight: Array2<f64>,
    x: ArcArray2<f64>,
    target: Array2<f64>,
}

impl Task {
    fn new(rng: &mut ChaCha8Rng) -> Self {
        let mut gaussian = |m, n| Array2::random_using((m, n), StandardNormal, rng);
        let (weight, x) = (gaussian(OUT, INPUTS), gaussian(64, INPUTS).into_shared());
        Self { target: x.dot(&gaussian(INPUTS, OUT)), weight, x }
    }

    fn lora(&self, rank: usize) -> Result<Lora<f64>> {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let (shape, alpha) = ([OUT, INPUTS], 1.5 * rank as f64);
        Lora::init(shape, rank, alpha, Scaling::AlphaOverR, Init::default(), &mut rng)
    }

    /// W after all updates.
    fn train<A: Adapter<f64>>(
        &self,
        adapter: &mut A,
        optimizer: &mut dyn Optimizer<f64>,
    ) -> Result<Array2<f64>> {
        let mut weight = self.weight.clone();
        for _ in 0..UPDATES {
            let (y, saved) = adapter.forward(weight.view(), &self.x, None)?;
            let grad_y = (y - &self.target) / self.x.nrows() as f64;
            let (_, grads) = adapter.backward(weight.view(), &saved, grad_y.view())?;
            adapter.step(&mut weight, &grads, optimizer)?;
        }
        Ok(weight)
    }
}

/// Rounding noise has no digits worth printing.
fn shown(value: f64) -> String {
    if value < 1e-12 { "< 1e-12".to_owned() } else { format!("{value:.4}") }
}

// ANCHOR: spectrum
/// W_T − W₀ = λ s (B_T A_T − B_K A_K): 2r singular values and no more, and only r if W moves from the start, since B₀ = 0.
fn spectrum(task: &Task) -> Result {
    println!("W_T - W_0 is {OUT} x {INPUTS}, after {UPDATES} updates of AdamW, lambda = {LAMBDA}");
    println!(" r    K   sigma_k / sigma_1 for k = 1, 2, ...");
    for rank in [1, 2, 4] {
        for start_step in [20, 0] {
            let settings = Settings { lambda: LAMBDA, start_step, include_scale: true };
            let mut delta = DeltaLora::new(task.lora(rank)?, settings)?;
            let group = Group { lr: 0.05, weight_decay: 0.01 };
            let weight = task.train(&mut delta, &mut AdamW::new(group, AdamVariant::Torch))?;
            let sigma = rank::svd((weight - &task.weight).view())?.s;
            let relative = sigma.slice(s![..=2 * rank]).mapv(|value| shown(value / sigma[0]));
            println!("{rank:2}   {start_step:2}   {}", relative.to_vec().join("  "));
        }
    }
    println!();
    Ok(())
}
// ANCHOR_END: spectrum

// ANCHOR: the_same_path
/// K = 0 and B₀ = 0: Delta-LoRA beside LoRA with the scale c s, c = 1 + λ. The trained weights agree if the optimiser
/// undoes the factor c in the gradients, and do not if it is left as it was.
fn the_same_path(task: &Task) -> Result {
    let settings = Settings { lambda: LAMBDA, start_step: 0, include_scale: true };
    let c = 1.0 + LAMBDA;
    let adam = |eps| {
        let group = Group { lr: 0.02, weight_decay: 0.01 };
        AdamW { eps, ..AdamW::new(group, AdamVariant::Torch) }
    };
    let sgd = |lr, weight_decay| Sgd { group: Group { lr, weight_decay } };
    let delta = |optimizer: &mut dyn Optimizer<f64>| -> Result<Array2<f64>> {
        let mut delta = DeltaLora::new(task.lora(2)?, settings)?;
        let mut weight = task.train(&mut delta, optimizer)?;
        delta.merge(&mut weight)?;
        Ok(weight)
    };
    let lora = |factor: f64, optimizer: &mut dyn Optimizer<f64>| -> Result<Array2<f64>> {
        let mut lora = task.lora(2)?;
        lora.scale *= factor;
        let mut weight = task.train(&mut lora, optimizer)?;
        lora.merge(&mut weight)?;
        Ok(weight)
    };

    println!("Delta-LoRA's trained weight beside LoRA's          relative difference");
    let of_adam = delta(&mut adam(1e-4))?;
    let of_sgd = delta(&mut sgd(0.01, 0.01))?;
    for (name, delta, lora) in [
        ("AdamW  scale 3 s, eps 3 times as large", &of_adam, lora(c, &mut adam(c * 1e-4))?),
        ("       scale 3 s, the same eps", &of_adam, lora(c, &mut adam(1e-4))?),
        ("       scale s", &of_adam, lora(1.0, &mut adam(1e-4))?),
        (
            "SGD    scale 3 s, rate / 3, decay times 3",
            &of_sgd,
            lora(c, &mut sgd(0.01 / c, 0.01 * c))?,
        ),
        ("       scale 3 s, rate / 3, the same decay", &of_sgd, lora(c, &mut sgd(0.01 / c, 0.01))?),
        ("       scale s", &of_sgd, lora(1.0, &mut sgd(0.01, 0.01))?),
    ] {
        let changed = frobenius(&(delta - &task.weight));
        println!("  {name:<46}   {}", shown(frobenius(&(delta - &lora)) / changed));
    }
    println!();
    Ok(())
}
// ANCHOR_END: the_same_path

// ANCHOR: dropout
/// With a mask on the adapter's input, ∂L/∂ΔW = Gᵀx̃ is not ∂L/∂W = Gᵀx. Their mean squared distance over the masks is
/// p/(1 − p) Σ ‖G_t‖²‖x_t‖².
fn dropout(task: &Task) -> Result {
    // A = I, B = 0, s = 1: the gradient of B is that of ΔW.
    let lora = Lora::new(Array2::eye(INPUTS), Array2::zeros((OUT, INPUTS)), 1.0)?;
    let (weight, masks) = (task.weight.view(), 200);
    let (y, saved) = Full.forward(weight, &task.x, None)?;
    let grad_y = y - &task.target;
    let (_, of_weight) = Full.backward(weight, &saved, grad_y.view())?;
    let squares = |matrix: &Array2<f64>| matrix.mapv(|value| value * value).sum();
    let products = grad_y.outer_iter().zip(task.x.outer_iter()).map(|(g, x)| g.dot(&g) * x.dot(&x));
    let products: f64 = products.sum();

    let mut rng = ChaCha8Rng::seed_from_u64(3);
    println!("With dropout: |dL/d(delta W) - dL/dW| / |dL/dW|, root mean square of {masks} masks");
    println!("    p   measured   expected");
    for p in [0.1, 0.3, 0.5] {
        let mut sum = 0.0;
        for _ in 0..masks {
            let mask = Dropout::draw(task.x.dim(), p, &mut rng)?;
            let (_, saved) = lora.forward(weight, &task.x, Some(&mask))?;
            let (_, of_delta) = lora.backward(weight, &saved, grad_y.view())?;
            sum += squares(&(of_delta.b - &of_weight.weight));
        }
        let relative = |square: f64| (square / squares(&of_weight.weight)).sqrt();
        let (measured, expected) = (sum / f64::from(masks), p / (1.0 - p) * products);
        println!("  {p:.1}   {:8.3}   {:8.3}", relative(measured), relative(expected));
    }
    Ok(())
}
// ANCHOR_END: dropout
