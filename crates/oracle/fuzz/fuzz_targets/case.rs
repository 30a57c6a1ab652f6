//! Any bytes as a case file: read, emitted, and judged against itself.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use oracle_fuzz::{mutate, targets};

fuzz_target!(|bytes: &[u8]| targets::case(bytes));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::file(data, size, max_size, seed).unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});
