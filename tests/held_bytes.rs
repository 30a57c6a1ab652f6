//! What a forward pass keeps for its backward pass, counted by the memory allocator: LoRA-FA's claim (number 23 of
//! `claims.rs`), and whether `Ledger`, which every table of bytes comes from, counts the same.
//!
//! A file of its own with one test: the allocator counts the whole process.

use std::alloc::System;

use adapter::{Adapter, Ledger};
use cap::Cap;
use lora::Lora;
use lora_fa::{LoraFa, Variant};
use ndarray::{ArcArray2, Array2};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const TOKENS: usize = 32;

/// Bytes that stay allocated after a forward pass whose input and output nobody else holds, and what `Ledger` says.
fn kept<A: Adapter<f32>>(adapter: &A, [out, inputs]: [usize; 2]) -> (usize, usize) {
    let weight = Array2::zeros((out, inputs));
    let before = ALLOCATOR.allocated();
    let x = shared(TOKENS, inputs);
    let (y, saved) = adapter.forward(weight.view(), &x, None).unwrap();
    drop((x, y));
    let after = ALLOCATOR.allocated();
    (after - before, Ledger::of(&saved))
}

fn shared(rows: usize, columns: usize) -> ArcArray2<f32> {
    Array2::zeros((rows, columns)).into_shared()
}

/// What a shared array takes beside its numbers: the counter of its owners.
fn counter() -> usize {
    let before = ALLOCATOR.allocated();
    let empty = shared(0, 0);
    let after = ALLOCATOR.allocated();
    drop(empty);
    after - before
}

/// The median of five: another thread, the test harness's, may allocate in between.
fn median<T: Ord + Copy>(mut measure: impl FnMut() -> T) -> T {
    let mut results = [(); 5].map(|()| measure());
    results.sort_unstable();
    results[2]
}

#[test]
fn lora_fa_23_the_allocator_counts_2bsr_and_not_2bsd_more() {
    let counter = median(counter);
    for (d, r, ratio) in [(4096, 64, 65), (768, 8, 97)] {
        let shape = [24, d];
        let (a, b) = (Array2::zeros((r, d)), Array2::zeros((24, r)));
        let lora = Lora::new(a.clone(), b.clone(), 1.0).unwrap();
        let lora_fa = LoraFa::new(a, b, 1.0, Variant::Plain).unwrap();
        let (by_lora, its_ledger) = median(|| kept(&lora, shape));
        let (by_lora_fa, ledger) = median(|| kept(&lora_fa, shape));

        // Four bytes for a number here, where the paper has two.
        assert_eq!(by_lora_fa, 4 * TOKENS * r);
        assert_eq!(by_lora - counter, 4 * TOKENS * (d + r));
        assert_eq!(by_lora - counter, ratio * by_lora_fa);
        assert_eq!((its_ledger, ledger), (by_lora - counter, by_lora_fa));
    }
}
