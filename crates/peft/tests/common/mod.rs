//! Folders made by hand, and what an error should say.

use std::path::Path;

use proptest::prelude::*;

#[track_caller]
pub fn assert_says(error: impl std::error::Error, expected: &str) {
    // The message and those of its causes, as a program prints them.
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    assert!(text.contains(expected), "{expected:?} is not in {text:?}");
    assert!(!text.contains('\n'), "more than one line: {text:?}");
}

/// (name, dtype, shape, bytes) of each tensor.
pub type Tensor<'a> = (&'a str, &'a str, &'a [usize], Vec<u8>);

pub fn folder_with(config: &str, tensors: &[Tensor<'_>]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("adapter_config.json"), config).unwrap();
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        let entry = serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": offsets});
        header.insert((*name).to_owned(), entry);
        data.extend(bytes);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let file = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    std::fs::write(directory.path().join("adapter_model.safetensors"), file).unwrap();
    directory
}

pub fn zeros<'a>(name: &'a str, dtype: &'a str, shape: &'a [usize], bytes: usize) -> Tensor<'a> {
    (name, dtype, shape, vec![0; bytes])
}

/// In the configuration or in the tensors: where to cut, and which bytes to change to what.
pub type Damage = (bool, usize, Vec<(usize, u8)>);

pub fn damages() -> impl Strategy<Value = Damage> {
    (any::<bool>(), 0..4000usize, prop::collection::vec((0..4000usize, any::<u8>()), 0..4))
}

/// A damaged copy of a folder of tests/golden.
pub fn damaged(golden: &str, (config, cut, changes): Damage) -> tempfile::TempDir {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(golden);
    let directory = tempfile::tempdir().unwrap();
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        let mut bytes = std::fs::read(golden.join(file)).unwrap();
        if config == (file == "adapter_config.json") {
            bytes.truncate(cut);
            for (at, byte) in &changes {
                let length = bytes.len().max(1);
                if let Some(old) = bytes.get_mut(at % length) {
                    *old = *byte;
                }
            }
        }
        std::fs::write(directory.path().join(file), bytes).unwrap();
    }
    directory
}
