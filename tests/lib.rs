//! What the tests share: golden files and the numbers in them.

pub mod eight_steps;
pub mod gpu;
pub mod quantise;

use std::path::{Path, PathBuf};

use ndarray::{Array, Array1, Array2, Dimension};
use serde_json::Value;

/// A file of tests/golden; its README says what each is and what made it.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

/// A JSON file of tests/golden.
///
/// # Panics
/// It is missing or damaged.
pub fn golden_json(name: &str) -> Value {
    let text = std::fs::read_to_string(golden(name)).expect("it is committed");
    serde_json::from_str(&text).expect("it is JSON")
}

/// A matrix of a golden JSON file, a list of rows.
///
/// # Panics
/// It is none.
pub fn matrix(rows: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = serde_json::from_value(rows.clone()).expect("a list of rows");
    let columns = rows[0].len();
    Array2::from_shape_vec((rows.len(), columns), rows.concat()).expect("rows of equal lengths")
}

/// A vector of a golden JSON file, a list of numbers.
///
/// # Panics
/// It is none.
pub fn vector(numbers: &Value) -> Array1<f64> {
    serde_json::from_value::<Vec<f64>>(numbers.clone()).expect("a list of numbers").into()
}

/// Every number within `tolerance` times the largest of `want`.
///
/// # Panics
/// One is not, or the shapes differ.
pub fn assert_close<D: Dimension>(
    name: &str,
    got: &Array<f64, D>,
    want: &Array<f64, D>,
    tolerance: f64,
) {
    assert_eq!(got.shape(), want.shape(), "{name}");
    let largest = want.iter().fold(0.0, |max: f64, value| max.max(value.abs()));
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= tolerance * largest, "{name}: got {got}, want {want}");
    }
}

/// n(stream, 0), n(stream, 1), …: the made-up integers from −1000 to 1000 of tests/parity/golden.py.
pub fn grid(stream: u32) -> impl Iterator<Item = f64> {
    (0u32..).map(move |j| {
        let mut h = j.wrapping_add(0x9e37_79b9_u32.wrapping_mul(stream.wrapping_add(1)));
        h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
        h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
        h ^= h >> 16;
        f64::from(h % 2001) - 1000.0
    })
}

/// SmolLM2-135M-Instruct's GGUF file, from the environment variable `LOWRANK_SMOLLM2`, which `cargo xtask test` sets.
///
/// Without it the caller prints SKIPPED and returns, unless `LOWRANK_REQUIRE_SMOLLM2` is set.
///
/// # Panics
/// The model is required and not there.
pub fn smollm2(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("LOWRANK_SMOLLM2").map(PathBuf::from).filter(|path| path.is_file());
    if path.is_none() {
        assert!(
            std::env::var_os("LOWRANK_REQUIRE_SMOLLM2").is_none(),
            "LOWRANK_SMOLLM2 names no file"
        );
        println!(
            "SKIPPED {test}: LOWRANK_SMOLLM2 names no file (`cargo xtask test` fetches the model)"
        );
    }
    path
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_grid_is_that_of_python() {
        let first = |stream| super::grid(stream).take(4).collect::<Vec<_>>();
        assert_eq!(first(0), [108.0, 77.0, 996.0, -981.0]);
        assert_eq!(first(7), [177.0, -113.0, 407.0, -800.0]);
    }
}
