//! The products of a training step of SmolLM2 two ways: `dot`, which is OpenBLAS on its own threads, and
//! `matmul::multiply` on rayon's, by way of `adapter::parallel`.
//!
//! `OPENBLAS_NUM_THREADS=2 RAYON_NUM_THREADS=2 cargo bench -p lowrank-benches --bench products`
//! (`OPENBLAS_CORETYPE` where OpenBLAS is too old for the processor: crates/openblas). Medians of runs in turns.
//!
//! Expected: the same on one thread, since both are near what a core can do, and on two as well. Measured: crates/matmul.

use std::hint::black_box;
use std::thread::sleep;
use std::time::{Duration, Instant};

use adapter::parallel;
use lowrank_benches::median;
use ndarray::{Array2, ArrayView2};

const TOKENS: usize = 192;
const RUNS: usize = 15;

fn main() {
    // As `lowrank` does it: this thread works too, instead of waiting for the others.
    let pool = rayon::ThreadPoolBuilder::new().use_current_thread();
    pool.build_global().expect("there is no pool yet");
    println!("{:>22} {:>12} {:>12} {:>7}", "[192, k]·[k, n]", "dot GFLOP/s", "multiply", "ratio");
    for [inner, outer] in [[576, 192], [576, 576], [576, 1536], [1536, 576], [576, 49152]] {
        // As many as a model has, so that each comes from memory.
        let count = (30_000_000 / (inner * outer)).clamp(1, 60);
        let element = |(i, j): (usize, usize)| ((7 * i + 3 * j) % 13) as f32 - 6.0;
        let weights: Vec<_> =
            (0..count).map(|_| Array2::from_shape_fn((outer, inner), element)).collect();
        let [x, grad_y] =
            [inner, outer].map(|width| Array2::from_shape_fn((TOKENS, width), element));
        let operations = 2.0 * (TOKENS * inner * outer * count) as f64;
        for (name, backward) in [("x Wᵀ", false), ("∂L/∂y W", true)] {
            let products =
                |multiply: &dyn Fn(ArrayView2<'_, f32>, ArrayView2<'_, f32>) -> Array2<f32>| {
                    sleep(Duration::from_millis(100)); // OpenBLAS's threads spin for some 30 ms
                    let start = Instant::now();
                    for weight in &weights {
                        black_box(match backward {
                            false => multiply(x.view(), weight.t()),
                            true => multiply(grad_y.view(), weight.view()),
                        });
                    }
                    operations * 1e-9 / start.elapsed().as_secs_f64()
                };
            let (mut dot, mut multiply) = (Vec::new(), Vec::new());
            for _ in 0..RUNS {
                dot.push(products(&|a, b| a.dot(&b)));
                multiply.push(products(&|a, b| parallel::multiply(a, b)));
            }
            let [dot, multiply] = [dot, multiply].map(median);
            let [k, n] = if backward { [outer, inner] } else { [inner, outer] };
            let shape = format!("{name}, {k} → {n}");
            println!("{shape:>22} {dot:>12.0} {multiply:>12.0} {:>7.2}", multiply / dot);
        }
    }
}
