//! The singular values of an adapter's ΔW two ways: the SVD of the dense matrix, and from the r × r core.
//!
//! `cargo bench -p lowrank-benches --bench core`. The dense SVD of 4096 × 4096 takes minutes, so each is run once or for a
//! second, and not by Criterion. What is printed is processor time: on a machine that others use too, the clock says little.
//!
//! Expected, by counting multiplications and additions for n × n (Golub & Van Loan, *Matrix Computations*, sections 5.2 and
//! 8.6): 2 n² r for the product and 22 n³ for its SVD, against 16 n r² for two QR decompositions and 4 n r² for their way back.
//! So some (n/r)², as far as the thin matrices run as fast as the square ones.

use std::time::{Duration, Instant};

use inspect::Factors;
use lowrank_benches::Layer;

fn main() {
    println!(
        "{:>12} {:>4} {:>10} {:>11} {:>9} {:>9}",
        "ΔW", "r", "dense, s", "core, s", "ratio", "expected"
    );
    for (n, rank) in [(576, 8), (576, 16), (4096, 16)] {
        let delta = Factors::of_lora(&Layer::<f64>::new(1, n, n, rank).lora);
        let mut largest = [0.0; 2];
        let dense = seconds(Duration::ZERO, || {
            let svd = rank::svd(delta.b.dot(&delta.a).view()).expect("finite numbers");
            largest[0] = svd.s[0];
        });
        let core = seconds(Duration::from_secs(1), || {
            largest[1] = delta.svd().expect("finite numbers").s[0];
        });
        assert!((largest[0] - largest[1]).abs() <= 1e-12 * largest[0], "{largest:?}");
        let (n, r) = (n as f64, rank as f64);
        let expected = (2.0 * n * n * r + 22.0 * n.powi(3)) / (20.0 * n * r * r + 24.0 * r.powi(3));
        let shape = format!("{n} × {n}");
        println!(
            "{shape:>12} {rank:>4} {dense:>10.3} {core:>11.6} {:>9.0} {expected:>9.0}",
            dense / core
        );
    }
}

/// Processor seconds of one run: the mean over those that fit into `least`, after one that is not counted.
fn seconds(least: Duration, mut run: impl FnMut()) -> f64 {
    if least > Duration::ZERO {
        run();
    }
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut runs = 0;
    while runs == 0 || start.elapsed() < least {
        run();
        runs += 1;
    }
    let clock = start.elapsed().as_secs_f64();
    cpu_seconds().zip(cpu).map_or(clock, |(end, start)| end - start) / f64::from(runs)
}

/// Fields 14 and 15 of proc_pid_stat(5), in hundredths of a second: this process's own time. `None` where there is no `/proc`.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let (user, system) = (times.next()?.parse::<f64>().ok()?, times.next()?.parse::<f64>().ok()?);
    Some((user + system) / 100.0)
}
