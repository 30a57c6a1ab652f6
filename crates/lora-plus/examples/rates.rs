//! Which two learning rates are best: `cargo run -p lowrank-lora-plus --example rates`.
//!
//! A wide layer with LoRA+ learns what a teacher adds to it; the loss after a few updates, for every pair of rates. And how
//! the three parts of one update of the paper's toy model (arXiv 2402.12354) grow with the width. Not here: a real model.

use adapter::{AdamVariant, AdamW, Adapter, Group};
use lora::{Init, Lora, Scaling};
use lora_plus::{Groups, LoraPlus};
use ndarray::{ArcArray2, Array1, Array2};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::{StandardNormal, Uniform};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

type Result<T = (), E = adapter::Error> = std::result::Result<T, E>;

const WIDTH: usize = 256;
const INPUTS: usize = 8;
const RANK: usize = 4;
const TOKENS: usize = 64;
const UPDATES: usize = 10;

fn main() -> Result {
    grid()?;
    slopes();
    Ok(())
}

/// y = relu(x Wᵀ) vᵀ on features x = relu(z Uᵀ) of inputs z. U, W and v are frozen; the teacher has W + C with C of rank 4.
struct Task {
    weight: Array2<f64>,
    readout: Array2<f64>,
    x: ArcArray2<f64>,
    wanted: Array2<f64>,
    start: Lora<f64>,
}

impl Task {
    fn new(seed: u64) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut gaussian = |m, n, variance: f64| {
            Array2::<f64>::random_using((m, n), StandardNormal, &mut rng) * variance.sqrt()
        };
        let (n, r) = (WIDTH as f64, RANK as f64);
        let weight = gaussian(WIDTH, WIDTH, 1.0 / n);
        let readout = gaussian(1, WIDTH, 1.0 / n);
        let x = gaussian(TOKENS, INPUTS, 1.0).dot(&gaussian(INPUTS, WIDTH, 1.0 / INPUTS as f64));
        let x = relu(&x).into_shared();
        let change = gaussian(WIDTH, RANK, 1.0 / r).dot(&gaussian(RANK, WIDTH, 1.0 / n));
        let wanted = relu(&x.dot(&(&weight + &change).t())).dot(&readout.t());
        let shape = [WIDTH, WIDTH];
        let start = Lora::init(shape, RANK, r, Scaling::AlphaOverR, Init::default(), &mut rng)?;
        Ok(Self { weight, readout, x, wanted, start })
    }

    /// The loss after all updates at these rates.
    fn train(&self, lr_a: f64, lr_b: f64) -> Result<f64> {
        let groups = Groups::new(lr_b / lr_a)?;
        let mut layer = LoraPlus { lora: self.start.clone(), groups };
        let mut adamw = AdamW::new(Group { lr: lr_a, weight_decay: 0.0 }, AdamVariant::Torch);
        let mut weight = self.weight.clone();
        for _ in 0..UPDATES {
            let (hidden, saved) = layer.forward(weight.view(), &self.x, None)?;
            let error = (relu(&hidden).dot(&self.readout.t()) - &self.wanted) / TOKENS as f64;
            let grad_hidden = error.dot(&self.readout) * hidden.mapv(|h| f64::from(h > 0.0));
            let (_, grads) = layer.backward(weight.view(), &saved, grad_hidden.view())?;
            layer.step(&mut weight, &grads, &mut adamw)?;
        }
        let (hidden, _) = layer.forward(weight.view(), &self.x, None)?;
        let error = relu(&hidden).dot(&self.readout.t()) - &self.wanted;
        Ok(0.5 * error.mapv(|e| e * e).mean().unwrap_or(f64::NAN))
    }
}

fn relu(matrix: &Array2<f64>) -> Array2<f64> {
    matrix.mapv(|value| value.max(0.0))
}

// ANCHOR: grid
/// Rows are rates of A, columns rates of B; on the diagonal, in brackets, is LoRA. Geometric means over three tasks.
fn grid() -> Result {
    let tasks = [Task::new(1)?, Task::new(2)?, Task::new(3)?];
    let rates = [-11, -9, -7, -5, -3, -1];
    println!(
        "Loss after {UPDATES} updates of AdamW, width {WIDTH}, rank {RANK}; the rates are powers of 2"
    );
    println!("  A \\ B{}", rates.map(|rate| format!("{rate:>9}")).concat());
    let mut losses = Vec::new(); // (rate of A, rate of B, the loss of each task)
    for a in rates {
        print!("{a:>7}");
        for b in rates {
            let train = |task: &Task| task.train(2f64.powi(a), 2f64.powi(b));
            let of_tasks = [train(&tasks[0])?, train(&tasks[1])?, train(&tasks[2])?];
            let loss = mean(&of_tasks);
            // Runs that blow up have no digits worth printing.
            let shown = if loss < 1.0 { format!("{loss:.4}") } else { "> 1".to_owned() };
            print!("{:>9}", if a == b { format!("[{shown}]") } else { format!("{shown} ") });
            losses.push((a, b, of_tasks));
        }
        println!();
    }
    // Losses that overflowed are NaN and come last.
    let best = |of: &dyn Fn(&[f64; 3]) -> f64, equal: bool| {
        let candidates = losses.iter().filter(|(a, b, _)| !equal || a == b);
        candidates.min_by(|one, other| of(&one.2).total_cmp(&of(&other.2))).expect("some")
    };
    let (pair, one) = (best(&|losses| mean(losses), false), best(&|losses| mean(losses), true));
    let ratio = |pair: &(i32, i32, [f64; 3])| 2f64.powi(pair.1 - pair.0);
    println!("the best pair: {:.4}, ratio {}", mean(&pair.2), ratio(pair));
    println!("the best single rate: {:.4}", mean(&one.2));
    let each = [0, 1, 2].map(|task| ratio(best(&|losses| losses[task], false)).to_string());
    println!("the best ratio of each task: {}\n", each.join(", "));
    Ok(())
}
// ANCHOR_END: grid

/// The geometric mean.
fn mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}

// ANCHOR: slopes
/// f = b aᵀx, U = f − y with y = 1. An update changes f by δ¹ + δ² + δ³. The slopes of ln |δ| over ln n, n the width, at the
/// third update, medians of 201 draws of a and x.
fn slopes() {
    println!("How the parts of an update grow with the width n: exponents");
    println!("rate of A   rate of B   delta 1   delta 2   delta 3");
    type Rate = (&'static str, fn(f64) -> f64);
    let one: Rate = ("1", |_| 1.0);
    let root: Rate = ("n^-1/2", |n| n.powf(-0.5));
    let inverse: Rate = ("n^-1", |n| 1.0 / n);
    for (lr_a, lr_b) in [(inverse, one), (root, root), (inverse, inverse)] {
        let widths = (7..=14).map(|e| 1usize << e);
        let logarithms: Vec<(f64, [f64; 3])> = widths
            .map(|n| {
                let width = n as f64;
                (width.ln(), medians(n, lr_a.1(width), lr_b.1(width)).map(f64::ln))
            })
            .collect();
        print!("{:>9}   {:>9}", lr_a.0, lr_b.0);
        for part in 0..3 {
            print!("   {:7.2}", slope(logarithms.iter().map(|(x, y)| (*x, y[part]))));
        }
        println!();
    }
}

/// |δ¹|, |δ²|, |δ³| of the third update.
fn medians(n: usize, lr_a: f64, lr_b: f64) -> [f64; 3] {
    let mut rng = ChaCha8Rng::seed_from_u64(n as u64);
    let mut parts = [const { Vec::new() }; 3];
    for _ in 0..201 {
        let x = Array1::<f64>::random_using(n, StandardNormal, &mut rng);
        let bound = 1.0 / (n as f64).sqrt();
        let law = Uniform::new(-bound, bound).expect("finite bounds");
        let mut a = Array1::<f64>::random_using(n, law, &mut rng);
        let mut b = 0.0; // Init[1]
        let mut delta = [0.0; 3];
        for _ in 0..3 {
            let (h, squared) = (a.dot(&x), x.dot(&x));
            let u = b * h - 1.0;
            delta = [
                -lr_a * b * b * u * squared,
                -lr_b * h * h * u,
                lr_a * lr_b * u * u * b * h * squared,
            ];
            a.scaled_add(-lr_a * u * b, &x); // ∂L/∂a = U b x
            b -= lr_b * u * h; // ∂L/∂b = U aᵀx
        }
        parts.iter_mut().zip(delta).for_each(|(part, delta)| part.push(delta.abs()));
    }
    parts.map(|mut part| {
        part.sort_by(f64::total_cmp);
        part[100]
    })
}

/// Of the least-squares line through the points.
fn slope(points: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let n = points.clone().count() as f64;
    let (sum_x, sum_y) = points.clone().fold((0.0, 0.0), |sum, (x, y)| (sum.0 + x, sum.1 + y));
    let (mean_x, mean_y) = (sum_x / n, sum_y / n);
    let covariance: f64 = points.clone().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    covariance / points.map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>()
}
// ANCHOR_END: slopes
