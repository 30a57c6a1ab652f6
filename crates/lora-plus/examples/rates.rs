//! Which two learning rates are best: `cargo run -p lowrank-lora-plus --example rates`.
//!
//! A wide layer with LoRA+ learns what a teacher adds to it; the loss after a few updates, for every pair of rates. And how
//! the three parts of one update of the paper's toy model (arXiv 2402.12354) grow with the width. Not here: a real model.

use lora_plus::task::{Task, geometric_mean};
use ndarray::Array1;
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::{StandardNormal, Uniform};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

type Result<T = (), E = adapter::Error> = std::result::Result<T, E>;

const WIDTH: usize = 256;

fn main() -> Result {
    grid()?;
    slopes();
    Ok(())
}

// ANCHOR: grid
/// Rows are rates of A, columns rates of B; on the diagonal, in brackets, is LoRA. Geometric means over three tasks.
fn grid() -> Result {
    let tasks = [Task::new(1, WIDTH)?, Task::new(2, WIDTH)?, Task::new(3, WIDTH)?];
    let rates = [-11, -9, -7, -5, -3, -1];
    println!(
        "Loss after {} updates of AdamW, width {WIDTH}, rank {}; the rates are powers of 2",
        Task::UPDATES,
        Task::RANK
    );
    println!("  A \\ B{}", rates.map(|rate| format!("{rate:>9}")).concat());
    let mut losses = Vec::new(); // (rate of A, rate of B, the loss of each task)
    for a in rates {
        print!("{a:>7}");
        for b in rates {
            let train = |task: &Task| task.train(2f64.powi(a), 2f64.powi(b));
            let of_tasks = [train(&tasks[0])?, train(&tasks[1])?, train(&tasks[2])?];
            let loss = geometric_mean(&of_tasks);
            // Runs that blow up have no digits worth printing.
            let shown = if loss < 1.0 { format!("{loss:.4}") } else { "> 1".to_owned() };
            print!("{:>9}", if a == b { format!("[{shown}]") } else { format!("{shown} ") });
            losses.push((a, b, of_tasks));
        }
        println!();
    }
    // Losses that overflowed are NaN, of either sign. They come last.
    let best = |of: &dyn Fn(&[f64; 3]) -> f64, equal: bool| {
        let candidates = losses.iter().filter(|(a, b, _)| !equal || a == b);
        candidates
            .min_by(|one, other| of(&one.2).abs().total_cmp(&of(&other.2).abs()))
            .expect("some")
    };
    let (pair, one) = (
        best(&|losses| geometric_mean(losses), false),
        best(&|losses| geometric_mean(losses), true),
    );
    let ratio = |pair: &(i32, i32, [f64; 3])| 2f64.powi(pair.1 - pair.0);
    println!("the best pair: {:.4}, ratio {}", geometric_mean(&pair.2), ratio(pair));
    println!("the best single rate: {:.4}", geometric_mean(&one.2));
    let each = [0, 1, 2].map(|task| ratio(best(&|losses| losses[task], false)).to_string());
    println!("the best ratio of each task: {}\n", each.join(", "));
    Ok(())
}
// ANCHOR_END: grid

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
