//! GGUF files are read as transformers reads them.

use std::fs;
use std::path::Path;

use llama::StorageDtype;
use llama::load::load;
use serde_json::Value;
use tempfile::TempDir;

use crate::load::{golden, logits, tensors};

/// The logits of transformers, which computed in f32: a few hundred operations, each 6e-8.
fn has_the_logits_of(document: &str, path: &Path, dtype: StorageDtype) {
    let document: Value = serde_json::from_slice(&fs::read(golden(document)).unwrap()).unwrap();
    let tokens: Vec<u32> = serde_json::from_value(document["tokens"].clone()).unwrap();
    let positions: Vec<usize> = serde_json::from_value(document["positions"].clone()).unwrap();
    let expected: Vec<Vec<f64>> = serde_json::from_value(document["logits"].clone()).unwrap();
    let checkpoint = load::<f64>(path).unwrap();
    assert_eq!(checkpoint.dtype, dtype);
    let logits = logits(&checkpoint.model, &tokens);
    let largest = expected.iter().flatten().fold(0.0, |max: f64, v| max.max(v.abs()));
    for (&position, expected) in positions.iter().zip(expected) {
        for (got, want) in logits.row(position).iter().zip(expected) {
            assert!(
                (got - want).abs() <= 2e-5 * largest,
                "position {position}: {got} and not {want}"
            );
        }
    }
    let single = load::<f32>(path).unwrap().model;
    assert_eq!(tensors(&single), tensors(&checkpoint.model), "a file's numbers are f32");
}

/// Written by llama.cpp's own Python package, in six formats, rows of q and k in llama.cpp's order.
#[test]
fn a_gguf_file_has_the_logits_that_transformers_computes() {
    has_the_logits_of("tiny.json", &golden("tiny.gguf"), StorageDtype::F32);
}

/// Biases, norms of queries and keys, windows, layers without RoPE or with another, linear scaling, YaRN and LongRoPE, fused projections, norms after each block, gains from
/// one, multipliers and caps; rows in llama.cpp's order where its converter changes it.
#[test]
fn every_architecture_has_the_logits_that_transformers_computes() {
    for name in [
        "llama",
        "mistral",
        "qwen2",
        "qwen3",
        "smollm3",
        "granite",
        "olmo2",
        "gemma",
        "gemma2",
        "gemma3",
        "gemma3_keys",
        "phi3",
        "phi3_longrope",
    ] {
        println!("{name}");
        let path = golden(&format!("gguf/{name}.gguf"));
        has_the_logits_of(&format!("gguf/{name}.json"), &path, StorageDtype::F16);
    }
}

const PARTS: [&str; 3] =
    ["mix-00001-of-00003.gguf", "mix-00002-of-00003.gguf", "mix-00003-of-00003.gguf"];

/// Each tensor in another type, as in the files that `llama-quantize` makes, and in three files.
#[test]
fn a_mix_of_all_types_in_several_files_has_the_logits_that_transformers_computes() {
    for part in PARTS {
        has_the_logits_of("mix.json", &golden(part), StorageDtype::F32);
    }
}

/// The parts in a folder, each under the name that `rename` gives it, and what `change` makes of its bytes.
fn parts(rename: impl Fn(&str) -> Option<String>, change: impl Fn(usize, &mut Vec<u8>)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (i, part) in PARTS.iter().enumerate() {
        let mut bytes = fs::read(golden(part)).unwrap();
        change(i, &mut bytes);
        if let Some(name) = rename(part) {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
    }
    folder
}

/// Whole or in parts; of two models nobody can say which is meant.
#[test]
fn a_folder_with_one_gguf_model_is_that_model() {
    let folder = parts(|part| Some(part.to_owned()), |_, _| {});
    let model = load::<f32>(folder.path()).unwrap().model;
    assert_eq!(tensors(&model), tensors(&load::<f32>(golden(PARTS[0])).unwrap().model));
    fs::write(folder.path().join("mmproj-mix.gguf"), "sees").unwrap();
    assert!(load::<f32>(folder.path()).is_ok());
    fs::copy(golden("tiny.gguf"), folder.path().join("tiny.gguf")).unwrap();
    let error = error(&folder, "");
    assert!(error.contains("no config.json in it: give the file itself"), "{error}");
}

fn error(folder: &TempDir, name: &str) -> String {
    load::<f32>(folder.path().join(name)).map(|_| ()).expect_err("it must not load").to_string()
}

#[test]
fn a_part_that_is_missing_or_foreign_is_named() {
    let same = |name: &str| Some(name.to_owned());
    let whole = parts(|name| Some(name.replace("mix", "my model")), |_, _| ());
    load::<f32>(whole.path().join("my model-00002-of-00003.gguf")).unwrap();

    let missing = parts(|name| same(name).filter(|name| name != PARTS[1]), |_, _| ());
    for given in [PARTS[0], PARTS[2]] {
        let error = error(&missing, given);
        assert!(error.contains("mix-00002-of-00003.gguf is not beside it: all 3 parts"), "{error}");
    }
    let renamed = parts(|name| Some(name.replace("mix-0000", "part")), |_, _| ());
    let error_of_renamed = error(&renamed, "part2-of-00003.gguf");
    assert!(error_of_renamed.contains("it is part 2 of 3 and its name"), "{error_of_renamed}");

    // The number of a part is 2 bytes after its key and the key's type.
    let set = |bytes: &mut [u8], key: &[u8], value: u8| {
        let at = bytes.windows(key.len()).position(|window| window == key).unwrap();
        bytes[at + key.len() + 4] = value;
    };
    let foreign = parts(same, |i, bytes| {
        if i == 1 {
            set(bytes, b"split.no", 2);
        }
    });
    let error_of_foreign = error(&foreign, PARTS[0]);
    assert!(error_of_foreign.contains(PARTS[1]), "{error_of_foreign}");
    assert!(error_of_foreign.contains("do not say that it is part 2 of 3"), "{error_of_foreign}");

    let fewer = parts(same, |_, bytes| set(bytes, b"split.tensors.count", 20));
    let error_of_fewer = error(&fewer, PARTS[1]);
    assert!(
        error_of_fewer.contains("split.tensors.count is 20 and the parts hold 21"),
        "{error_of_fewer}"
    );

    // A tensor's name is 8 bytes of length before it.
    let twice = parts(same, |i, bytes| {
        let rename = |bytes: &mut [u8], from: &[u8], to: &[u8]| {
            let at = bytes.windows(from.len()).position(|window| window == from);
            bytes[at.unwrap()..][..to.len()].copy_from_slice(to);
        };
        if i == 1 {
            rename(bytes, b"blk.1.attn_k", b"blk.0.attn_k");
        }
    });
    let error_of_twice = error(&twice, PARTS[0]);
    assert!(error_of_twice.contains("is in an earlier part too"), "{error_of_twice}");
}

/// The first files of Gemma 2 say nothing of caps and windows: llama.cpp has these for them.
#[test]
fn a_gemma_2_that_does_not_say_so_has_caps_and_a_window() {
    let mut bytes = fs::read(golden("gguf/gemma2.gguf")).unwrap();
    for key in ["attn_logit_softcapping", "final_logit_softcapping", "attention.sliding_window"] {
        let at = bytes.windows(key.len()).position(|part| part == key.as_bytes()).unwrap();
        bytes[at] = b'_';
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, bytes).unwrap();
    let variant = load::<f32>(&path).unwrap().model.config.variant;
    assert_eq!((variant.attention_cap, variant.logits_cap), (Some(50.0), Some(30.0)));
    assert_eq!(variant.sliding_window, Some(4096));
}
