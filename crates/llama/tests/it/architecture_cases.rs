//! Tiny models of every architecture, and what transformers computes with them: golden/architectures, which
//! tests/parity/architectures.py made.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use llama::{Batch, Config, Llama};
use ndarray::{ArrayD, ArrayViewD};
use serde_json::Value;
use tensor_file::{StorageDtype, TensorFile};

/// Errors relative to a tensor's largest entry, which is at least 1e-4 or nothing. Forward and backward of three layers
/// are sums of at most 32 terms in chains about 90 operations deep: 2·32·90 roundings of 2⁻⁵³ make 6.4e-13.
pub const TOLERANCE: f64 = 1e-12;

/// A tiny model of one architecture, and what transformers computes with it.
pub struct Case {
    pub name: String,
    pub model: Llama<f64>,
    /// As it was given to transformers, and as transformers writes it.
    pub configs: [Value; 2],
    pub sequences: Vec<Vec<u32>>,
    pub expected: BTreeMap<String, ArrayD<f64>>,
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/architectures")
}

pub fn cases() -> Vec<Case> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    paths.sort_by_key(|path| path.file_stem().map(OsStr::to_owned));
    paths.iter().map(|path| case(path)).collect()
}

fn case(path: &Path) -> Case {
    let mut file = TensorFile::open(path).unwrap();
    let case: Value = serde_json::from_str(&file.metadata()["case"]).unwrap();
    let expected: BTreeMap<_, _> = file
        .names()
        .into_iter()
        .map(|name| {
            file.check_dtype(&name, StorageDtype::F64).unwrap();
            let array = file.array(&name).unwrap();
            (name, array)
        })
        .collect();
    // The names in their order: what a weight's numbers start from.
    let names: Vec<&str> = expected.keys().filter_map(|name| name.strip_prefix("grad.")).collect();
    let config = Config::from_json(&case["config"].to_string()).unwrap();
    let weight = |name: &str, shape: &[usize]| {
        let stream = names.iter().position(|known| *known == name);
        Ok(noise(name, stream.unwrap_or_else(|| panic!("{name} is unknown")) as u32, shape))
    };
    Case {
        name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
        model: Llama::build(config, weight).unwrap(),
        configs: [case["config"].clone(), case["written"].clone()],
        sequences: serde_json::from_value(case["sequences"].clone()).unwrap(),
        expected,
    }
}

/// A weight of tests/parity/architectures.py.
fn noise(name: &str, stream: u32, shape: &[usize]) -> Vec<f64> {
    let value = |n: f64| match *shape {
        _ if name.ends_with("bias") || name.contains("embed_tokens") => n / 1000.0,
        [_, inputs] => 2.0 * n / 1000.0 / (inputs as f64).sqrt(),
        _ => 1.0 + n / 2000.0,
    };
    grid(stream).take(shape.iter().product()).map(value).collect()
}

/// n(stream, 0), n(stream, 1), … of tests/parity/golden.py.
pub fn grid(stream: u32) -> impl Iterator<Item = f64> {
    (0u32..).map(move |j| {
        let mut h = j.wrapping_add(0x9e37_79b9_u32.wrapping_mul(stream.wrapping_add(1)));
        h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
        h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
        h ^= h >> 16;
        f64::from(h % 2001) - 1000.0
    })
}

impl Case {
    pub fn batch(&self) -> Batch {
        Batch::next_token(self.sequences.iter().map(Vec::as_slice)).unwrap()
    }

    pub fn check(&self, name: &str, got: ArrayViewD<'_, f64>) {
        let want = &self.expected[name];
        assert_eq!(got.shape(), want.shape(), "{}: {name}", self.name);
        let largest = want.iter().fold(1e-4, |max: f64, value| max.max(value.abs()));
        for (got, want) in got.iter().zip(want) {
            let error = (got - want).abs();
            assert!(error <= TOLERANCE * largest, "{}: {name}: {got} and not {want}", self.name);
        }
    }
}
