//! Which two learning rates are best: `cargo run -p lowrank-lora-plus --example rates`.
//!
//! A wide layer with LoRA+ learns what a teacher adds to it; the loss after a few updates, for every pair of rates. And how
//! the three parts of one update of the paper's toy model (arXiv 2402.12354) grow with the width. Not here: a real model.

use lora_plus::task::{Task, geometric_mean};
use lora_plus::toy;

type Result<T = (), E = adapter::Error> = std::result::Result<T, E>;

const WIDTH: usize = 256;

fn main() -> Result {
    grid()?;
    slopes()
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
/// f = b aᵀx, U = f − y with y = 1. An update changes f by δ¹ + δ² + δ³. The slopes of log |δ| over log n, n the width, at the
/// third update.
fn slopes() -> Result {
    println!("How the parts of an update grow with the width n: exponents");
    println!("rate of A   rate of B   delta 1   delta 2   delta 3");
    let names = [["n^-1", "1"], ["n^-1/2", "n^-1/2"], ["n^-1", "n^-1"]];
    let exponents =
        toy::exponents([|n| [1.0 / n, 1.0], |n| [1.0 / n.sqrt(); 2], |n| [1.0 / n; 2]])?;
    for ([lr_a, lr_b], exponents) in names.into_iter().zip(exponents) {
        print!("{lr_a:>9}   {lr_b:>9}");
        for exponent in exponents {
            // + 0.0 turns −0 into 0.
            print!("   {:7.2}", (100.0 * exponent).round() / 100.0 + 0.0);
        }
        println!();
    }
    Ok(())
}
// ANCHOR_END: slopes
