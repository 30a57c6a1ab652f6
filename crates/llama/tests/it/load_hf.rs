//! Hugging Face folders as people have them: other names, other tensors, and folders that are something else.

use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};

use llama::Llama;
use llama::load::load;
use llama::save::save;
use ndarray::Array2;
use tempfile::TempDir;
use tensor_file::{Staging, StorageDtype, Stored, TensorFile};

use crate::load::{logits, small, tensors};

const TOKENS: [u32; 4] = [1, 7, 7, 3];
const EMBEDDING: &str = "model.embed_tokens.weight";

/// A folder with a small model.
fn folder(model: &Llama<f64>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    save(model, &path).unwrap();
    (folder, path)
}

/// The weights again, under the names that `rename` gives them; those without a name are left out.
fn renamed(path: &Path, file: &str, rename: impl Fn(&str) -> Option<String>) {
    let mut old = TensorFile::open(&path.join("model.safetensors")).unwrap();
    let names = old.names().into_iter().filter_map(|name| Some((rename(&name)?, name)));
    let arrays: Vec<_> = names.map(|(new, name)| (new, old.array::<f64>(&name).unwrap())).collect();
    fs::remove_file(path.join("model.safetensors")).unwrap();
    let mut staging = Staging::new(path).unwrap();
    let tensors =
        arrays.iter().map(|(name, array)| (name, Stored::new(array.view(), StorageDtype::F64)));
    staging.write_tensors(file, tensors, &Default::default()).unwrap();
    staging.commit().unwrap();
}

fn edit(path: &Path, from: &str, to: &str) {
    let path = path.join("config.json");
    let config = fs::read_to_string(&path).unwrap();
    assert!(config.contains(from));
    fs::write(&path, config.replace(from, to)).unwrap();
}

fn same_logits(path: &Path, want: &Array2<f64>) {
    let model = load::<f64>(path).unwrap().model;
    assert_eq!(logits(&model, &TOKENS), want, "{}", path.display());
}

/// transformers 5.23, tried: both there and different, so not tied; both there and equal, or one there, so tied.
#[test]
fn a_head_beside_a_tied_embedding() {
    let model = small();
    let (_folder, path) = folder(&model);
    edit(&path, "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
    let loaded = load::<f64>(&path).unwrap().model;
    assert!(!loaded.config.tie_word_embeddings && loaded.head.is_some());
    assert_eq!(tensors(&loaded), tensors(&model));

    let tied = Llama { head: Some(model.embedding.clone()), ..model };
    let want = logits(&tied, &TOKENS);
    let (_folder, path) = folder(&tied);
    edit(&path, "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
    let loaded = load::<f64>(&path).unwrap().model;
    assert!(loaded.config.tie_word_embeddings && loaded.head.is_none());
    assert_eq!(logits(&loaded, &TOKENS), want);
    // The head alone.
    renamed(&path, "model.safetensors", |name| (name != EMBEDDING).then(|| name.to_owned()));
    same_logits(&path, &want);
    assert!(load::<f64>(&path).unwrap().model.head.is_none());
}

#[test]
fn names_without_the_model_prefix() {
    let model = small();
    let (_folder, path) = folder(&model);
    renamed(&path, "model.safetensors", |name| {
        Some(name.strip_prefix("model.").unwrap_or(name).to_owned())
    });
    same_logits(&path, &logits(&model, &TOKENS));
}

#[test]
fn a_file_of_weights_by_itself() {
    let model = small();
    let want = logits(&model, &TOKENS);
    let (_folder, path) = folder(&model);
    same_logits(&path.join("model.safetensors"), &want);
    renamed(&path, "weights.fp64.safetensors", |name| Some(name.to_owned()));
    let file = path.join("weights.fp64.safetensors");
    same_logits(&file, &want);
    assert_eq!(load::<f64>(&file).unwrap().path, path, "where the tokenizer is");
    let text = says(&path);
    assert!(text.ends_with("fp64.safetensors the model? Then give that file"), "{text}");

    // One shard of several stands for all.
    let shard = "model-00001-of-00001.safetensors";
    fs::rename(&file, path.join(shard)).unwrap();
    let map: serde_json::Map<_, _> =
        model.tensors().into_iter().map(|(name, _)| (name, shard.into())).collect();
    let index = serde_json::json!({ "weight_map": map }).to_string();
    fs::write(path.join("model.safetensors.index.json"), index).unwrap();
    same_logits(&path.join(shard), &want);
    same_logits(&path, &want);
}

/// The message and those of its causes.
fn says(path: &Path) -> String {
    let error = load::<f32>(path).map(|_| ()).expect_err("it must not load");
    let (mut line, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    assert_eq!(line.lines().count(), 1, "{line}");
    line
}

#[test]
fn folders_that_are_something_else_are_named() {
    const POINTER: &str =
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 269060552\n";
    const ADAPTER: &str = r#"{"peft_type": "LORA", "base_model_name_or_path": "owner/base"}"#;
    let (_folder, model) = folder(&small());
    let config = fs::read_to_string(model.join("config.json")).unwrap();
    let config = config.as_str();
    let pickle = "is a pickle, which can run any program and is not read";
    let adapter =
        "this is an adapter: give its base, owner/base, as --model and the folder as --adapter";
    let cases: [(&[(&str, &str)], &str, &str); 14] = [
        (&[], "", "no config.json in it"),
        (&[("model.Q4_K_M.gguf", "")], "", "model.Q4_K_M.gguf"),
        (&[("config.json", config)], "", "the weights were not downloaded"),
        (&[("config.json", config), ("pytorch_model.bin", "")], "", pickle),
        (&[("config.json", config), ("pytorch_model-00001-of-00002.bin", "")], "", pickle),
        (&[("config.json", config), ("consolidated.00.pth", "")], "", "in Hugging Face's layout"),
        (
            &[("config.json", config), ("consolidated.safetensors", "")],
            "",
            "in Hugging Face's layout",
        ),
        (&[("config.json", config), ("model.safetensors", POINTER)], "", "a Git LFS pointer"),
        (
            &[("config.json", POINTER), ("model.safetensors", POINTER)],
            "",
            "config.json: a Git LFS pointer",
        ),
        (&[("adapter_config.json", ADAPTER), ("adapter_model.safetensors", "")], "", adapter),
        (&[("adapter_config.json", ADAPTER), ("config.json", config)], "", adapter),
        (
            &[("adapter_config.json", ADAPTER), ("adapter_model.safetensors", "")],
            "adapter_model.safetensors",
            adapter,
        ),
        (&[("adapter_config.json", "{}")], "", "this is an adapter: give its base as --model"),
        (&[("model.safetensors", "")], "model.safetensors", "no config.json in it"),
    ];
    for (files, name, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let text = says(&folder.path().join(name));
        assert!(text.contains(expected), "{files:?}: {text}");
    }
}
