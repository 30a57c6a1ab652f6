//! The tests of this crate, in one binary.

mod algebra;
mod golden;
mod peft_loads;

use std::path::{Path, PathBuf};

/// A folder or a file of tests/golden.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The base of the golden adapters.
fn base() -> llama::Llama<f64> {
    llama::load::load::<f64>(golden("base")).unwrap().model
}

/// A model as it is found on disk, in `f64`.
fn opened(model: &llama::Llama<f64>) -> llama::load::Opened {
    let folder = tempfile::tempdir().unwrap();
    llama::save::save(model, folder.path()).unwrap();
    llama::load::open(folder.path()).unwrap()
}

/// Adds to q_proj and up_proj what golden.py's `change` says: exactly, since both are multiples of 1/1024.
fn change(model: &mut llama::Llama<f64>) {
    for (layer, weights) in model.layers.iter_mut().enumerate() {
        for target in [llama::Projection::Q, llama::Projection::Up] {
            for ((i, j), weight) in weights.weight_mut(target).indexed_iter_mut() {
                let large = ((i * 7 + j * 13 + layer) % 11) as f64 - 5.0;
                let small = ((i * i % 5) as f64 - 2.0) * ((j % 3) as f64 - 1.0);
                *weight += large / 64.0 + small / 1024.0;
            }
        }
    }
}
