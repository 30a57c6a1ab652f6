//! Any bytes as a submission: judged against the shipped case that the first byte chooses.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use oracle_fuzz::{mutate, targets};

fuzz_target!(|bytes: &[u8]| targets::submission(bytes));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let behind_choice = (size > 1)
        .then(|| mutate::file(&mut data[1..], size - 1, max_size - 1, seed))
        .flatten()
        .map(|size| size + 1);
    behind_choice.unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});
