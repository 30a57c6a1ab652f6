//! Models are read as transformers reads them, and what is written is read back.

use std::fs;
use std::path::{Path, PathBuf};

use adapter::{Full, Real};
use llama::load::load;
use llama::save::{save, save_checkpoint};
use llama::{Adapters, Batch, Config, Llama, Masks, StorageDtype, Train, Variant};
use ndarray::Array2;
use serde_json::Value;

pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

pub fn logits<T: Real>(model: &Llama<T>, tokens: &[u32]) -> Array2<T> {
    let batch = Batch::next_token([tokens]).unwrap();
    let adapters = Adapters::<Full>::none();
    let (hidden, _) = model.forward(&adapters, &batch, &Masks::new(), Train::Nothing).unwrap();
    model.logits(hidden.view())
}

pub fn small() -> Llama<f64> {
    let config = Config {
        vocab_size: 12,
        hidden_size: 8,
        intermediate_size: 6,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 4,
        rms_norm_eps: 1e-5,
        rope_theta: 100.0,
        rope_scaling: None,
        max_position_embeddings: 32,
        tie_word_embeddings: false,
        variant: Variant::default(),
    };
    let mut number = 0.0_f64;
    Llama::build(config, |_, shape| {
        let next = |_| {
            number += 1.0;
            number.sin()
        };
        Ok((0..shape.iter().product()).map(next).collect())
    })
    .unwrap()
}

/// Every tensor, to compare models.
pub fn tensors<T: Real>(model: &Llama<T>) -> Vec<(String, Vec<usize>, Vec<f64>)> {
    let numbers = |tensor: ndarray::ArrayViewD<'_, T>| tensor.iter().map(|v| v.to_f64()).collect();
    let tensors = model.tensors().into_iter();
    tensors.map(|(name, tensor)| (name, tensor.shape().to_vec(), numbers(tensor))).collect()
}

#[test]
fn what_is_saved_is_loaded() {
    let model = small();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/model");
    save(&model, &path).unwrap();
    let back = load::<f64>(&path).unwrap();
    assert_eq!(back.dtype, StorageDtype::F64);
    assert_eq!(back.model.config, model.config);
    assert_eq!(tensors(&back.model), tensors(&model));
}

#[test]
fn each_dtype_is_rounded_once_and_read_back() {
    let model = small();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f64");
    save(&model, &path).unwrap();
    let checkpoint = load::<f64>(&path).unwrap();
    for dtype in [StorageDtype::F64, StorageDtype::F32, StorageDtype::F16, StorageDtype::Bf16] {
        let path = folder.path().join(dtype.name());
        save_checkpoint(&checkpoint, dtype, &path).unwrap();
        let back = load::<f64>(&path).unwrap();
        assert_eq!(back.dtype, dtype);
        for ((name, _, want), (_, _, got)) in tensors(&model).into_iter().zip(tensors(&back.model))
        {
            let want: Vec<f64> = want.into_iter().map(|value| dtype.round(value)).collect();
            assert_eq!(got, want, "{name} in {dtype}");
        }
    }
}

#[test]
fn saving_twice_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    save(&small(), &a).unwrap();
    save(&small(), &b).unwrap();
    for name in ["config.json", "model.safetensors"] {
        assert_eq!(fs::read(a.join(name)).unwrap(), fs::read(b.join(name)).unwrap(), "{name}");
    }
}

#[test]
fn a_folder_that_exists_keeps_its_other_files() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    fs::write(folder.path().join("config.json"), "old").unwrap();
    save(&small(), folder.path()).unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("notes.txt")).unwrap(), "mine");
    load::<f32>(folder.path()).unwrap();
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(
        names,
        ["config.json", "model.safetensors", "notes.txt"],
        "nothing else is left behind"
    );
}

#[test]
fn a_save_that_fails_leaves_all_as_it_was() {
    let mut model = small();
    model.layers[1].weight_mut(llama::Projection::Up)[[0, 0]] = 1e6;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    save(&model, &path).unwrap();
    let checkpoint = load::<f64>(&path).unwrap();
    let half = folder.path().join("half");
    let error = save_checkpoint(&checkpoint, StorageDtype::F16, &half).unwrap_err().to_string();
    assert!(
        error.contains("model.layers.1.mlp.up_proj.weight") && error.contains("f16"),
        "{error}"
    );
    assert!(!half.exists());

    // A place that cannot be written to.
    fs::write(folder.path().join("file"), "mine").unwrap();
    assert!(save(&model, &folder.path().join("file")).is_err());
    assert!(save(&model, &folder.path().join("file/below")).is_err());
    assert_eq!(fs::read_to_string(folder.path().join("file")).unwrap(), "mine");

    // The weights cannot take their place: the configuration must not change either.
    let blocked = folder.path().join("blocked");
    fs::create_dir_all(blocked.join("model.safetensors")).unwrap();
    fs::write(blocked.join("config.json"), "old").unwrap();
    assert!(save(&model, &blocked).is_err());
    assert_eq!(fs::read_to_string(blocked.join("config.json")).unwrap(), "old");
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 3, "model, file, blocked");
}

#[test]
fn what_goes_with_the_weights_is_copied() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("from");
    save(&small(), &from).unwrap();
    fs::write(from.join("special_tokens_map.json"), "{}").unwrap();
    // As in older folders: these tokens are named in the configuration only.
    let path = from.join("config.json");
    let config = fs::read_to_string(&path).unwrap();
    let config = config.replace("\"eos_token_id\": null", "\"eos_token_id\": [3, 4]");
    fs::write(&path, config.replace("\"bos_token_id\": null", "\"bos_token_id\": 7")).unwrap();
    let to = folder.path().join("to");
    save_checkpoint(&load::<f64>(&from).unwrap(), StorageDtype::Bf16, &to).unwrap();
    assert_eq!(fs::read_to_string(to.join("special_tokens_map.json")).unwrap(), "{}");
    let json = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(to.join(name)).unwrap()).unwrap()
    };
    assert_eq!(json("generation_config.json")["eos_token_id"], serde_json::json!([3, 4]));
    let config = json("config.json");
    assert_eq!(config["eos_token_id"], serde_json::json!([3, 4]));
    assert_eq!(config["bos_token_id"], 7);
    assert_eq!(config["torch_dtype"], "bfloat16");
}
