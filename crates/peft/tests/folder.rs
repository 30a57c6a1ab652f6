//! Folders written by PEFT, by us, and by someone who means harm.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use adapter::Adapter;
use lora::Lora;
use ndarray::Array2;
use peft::{LoraConfig, LoraFolder, read, write};
use proptest::prelude::*;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn deltas(name: &str) -> BTreeMap<String, Vec<Vec<f64>>> {
    let text = std::fs::read_to_string(golden(name).join("delta_weight.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// ΔW of every module, with patterns and both scalings, as PEFT computes it in f64.
#[test]
fn reads_what_peft_wrote() {
    for name in ["alpha_over_r", "rslora"] {
        let folder = read::<f64>(&golden(name)).unwrap();
        let want = deltas(name);
        assert_eq!(folder.modules.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
        assert_eq!(folder.config.lora_dropout, 0.1);
        for (module, lora) in &folder.modules {
            let delta = lora.delta_weight();
            for (got, want) in delta.iter().zip(want[module].iter().flatten()) {
                // At most three products of numbers up to 1, and the scale.
                assert!((got - want).abs() <= 1e-14 * 8.0, "{name} {module}: {got} {want}");
            }
        }
    }
}

#[test]
fn what_we_write_reads_back_bit_for_bit() {
    for name in ["alpha_over_r", "rslora"] {
        let folder = read::<f32>(&golden(name)).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("new/adapter");
        write(&out, &folder).unwrap();
        assert_eq!(read::<f32>(&out).unwrap(), folder);
        let bytes = std::fs::read(out.join("adapter_model.safetensors")).unwrap();
        // Over an old one, with a stranger's file beside it.
        std::fs::write(out.join("notes.txt"), "mine").unwrap();
        write(&out, &folder).unwrap();
        assert_eq!(std::fs::read(out.join("adapter_model.safetensors")).unwrap(), bytes);
        assert_eq!(std::fs::read_to_string(out.join("notes.txt")).unwrap(), "mine");
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 3, "no temporary file is left");
    }
}

/// Needs an interpreter with PEFT in the environment variable LOWRANK_PYTHON.
#[test]
fn peft_loads_what_we_write() {
    let Some(python) = std::env::var_os("LOWRANK_PYTHON") else {
        println!("SKIPPED peft_loads_what_we_write: LOWRANK_PYTHON names no Python with PEFT");
        return;
    };
    for name in ["alpha_over_r", "rslora"] {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &read::<f32>(&golden(name)).unwrap()).unwrap();
        let script = golden("../load_ours.py");
        let deltas = golden(name).join("delta_weight.json");
        let output =
            Command::new(&python).arg(script).arg(directory.path()).arg(deltas).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn example() -> LoraFolder<f64> {
    let lora = Lora::new(Array2::eye(2), Array2::ones((3, 2)), 8.0).unwrap();
    LoraFolder {
        config: LoraConfig {
            r: 2,
            lora_alpha: 16.0,
            target_modules: vec!["q_proj".into()],
            ..LoraConfig::default()
        },
        modules: [("layers.0.q_proj".to_owned(), lora)].into(),
    }
}

#[test]
fn write_refuses_what_the_configuration_would_misstate() {
    let directory = tempfile::tempdir().unwrap();
    let mut wrong = example();
    wrong.modules.get_mut("layers.0.q_proj").unwrap().scale = 16.0;
    let text = write(directory.path(), &wrong).unwrap_err().to_string();
    assert!(
        text.contains(
            "layers.0.q_proj has rank 2 and scale 16, but the configuration says 2 and 8"
        ),
        "{text}"
    );
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing half-written");
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let text = write(&file, &example()).unwrap_err().to_string();
    assert!(text.contains("file: "), "{text}");
}

/// Each field that would change what is computed, and that we do not compute, is named.
#[test]
fn unsupported_configurations_are_refused_by_name() {
    let parse = |json: &str| LoraConfig::parse(json).unwrap_err();
    for (json, name) in [
        (r#"{"peft_type":"VERA","r":2}"#, "VERA"),
        (r#"{"peft_type":"LORA","use_dora":true}"#, "use_dora"),
        (r#"{"peft_type":"LORA","use_qalora":true}"#, "use_qalora"),
        (r#"{"peft_type":"LORA","bias":"all"}"#, "bias"),
        (r#"{"peft_type":"LORA","lora_bias":true}"#, "lora_bias"),
        (r#"{"peft_type":"LORA","modules_to_save":["lm_head"]}"#, "modules_to_save"),
        (r#"{"peft_type":"LORA","layer_replication":[[0,4]]}"#, "layer_replication"),
        (r#"{"peft_type":"LORA","trainable_token_indices":[1]}"#, "trainable_token_indices"),
        (r#"{"peft_type":"LORA","target_parameters":["w"]}"#, "target_parameters"),
        (r#"{"peft_type":"LORA","megatron_config":{"a":1}}"#, "megatron_config"),
        (r#"{"peft_type":"LORA","alora_invocation_tokens":[1]}"#, "alora_invocation_tokens"),
        (r#"{"peft_type":"LORA","a_field_of_the_future":3}"#, "a_field_of_the_future"),
        (r#"{"peft_type":"LORA","init_lora_weights":"pissa_niter_4"}"#, "pissa_niter_4"),
        (r#"{"peft_type":"LORA","init_lora_weights":"olora"}"#, "olora"),
        (r#"{"peft_type":"LORA","r":0}"#, "rank is 0"),
        (r#"{"peft_type":"LORA","r":-1}"#, "invalid value"),
        (r#"{"peft_type":"LORA","lora_dropout":1.0}"#, "lora_dropout"),
        (r#"{"peft_type":"LORA","lora_alpha":1e999}"#, "number out of range"),
        (r#"{"peft_type":"LORA","target_modules":7}"#, "target_modules"),
        (r#"{"r":2}"#, "peft_type"),
        ("[]", "invalid type"),
        ("", "EOF"),
    ] {
        let text = parse(json);
        assert!(text.contains(name), "{json}: {text}");
    }
    let harmless = r#"{"peft_type":"LORA","r":4,"use_dora":false,"loftq_config":{},"bias":"none",
        "rank_pattern":null,"megatron_core":"megatron.core","init_lora_weights":"gaussian"}"#;
    assert_eq!(LoraConfig::parse(harmless).unwrap().r, 4);
}

#[test]
fn patterns_match_the_end_of_a_name_at_a_dot() {
    let config = LoraConfig {
        rank_pattern: [("q_proj".to_owned(), 4), (r"layers\.1\.v_.*".to_owned(), 2)].into(),
        ..LoraConfig::default()
    };
    let rank = |module| config.resolve(module).unwrap().rank;
    assert_eq!(rank("model.layers.0.q_proj"), 4);
    assert_eq!(rank("q_proj"), 4);
    assert_eq!(rank("model.layers.0.not_q_proj"), 8);
    assert_eq!(rank("model.q_proj.inner"), 8);
    assert_eq!(rank("model.layers.1.v_proj"), 2);
    assert_eq!(rank("model.layers.11.v_proj"), 8);
    let broken = LoraConfig { rank_pattern: [("(".to_owned(), 4)].into(), ..config };
    assert!(broken.resolve("x").unwrap_err().contains("no regular expression"));
}

/// (name, dtype, shape, bytes) of each tensor, in a folder with rank 2.
fn folder_with(tensors: &[(&str, &str, &[usize], usize)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let config = r#"{"peft_type":"LORA","r":2,"lora_alpha":4}"#;
    std::fs::write(directory.path().join("adapter_config.json"), config).unwrap();
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, dtype, shape, bytes) in tensors {
        let entry =
            serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [end, end + bytes]});
        header.insert((*name).to_owned(), entry);
        end += bytes;
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(&header);
    file.extend(vec![0; end]);
    std::fs::write(directory.path().join("adapter_model.safetensors"), file).unwrap();
    directory
}

#[test]
fn bad_tensors_are_refused_by_name() {
    const A: &str = "base_model.model.m.q_proj.lora_A.weight";
    const B: &str = "base_model.model.m.q_proj.lora_B.weight";
    let text = |tensors: &[(&str, &str, &[usize], usize)]| {
        read::<f32>(folder_with(tensors).path()).unwrap_err().to_string()
    };
    for (tensors, expected) in [
        (&[(A, "F32", &[2, 3][..], 24)][..], "m.q_proj has only one of lora_A and lora_B"),
        (&[(A, "F32", &[1, 3], 12), (B, "F32", &[4, 1], 16)], "the configuration says rank 2"),
        (&[(A, "F32", &[2, 3], 24), (B, "F32", &[4, 3], 48)], "[4, 3]"),
        (&[(A, "I32", &[2, 3], 24), (B, "F32", &[4, 2], 32)], "I32"),
        (&[(A, "F32", &[2, 3, 1], 24), (B, "F32", &[4, 2], 32)], "[2, 3, 1]"),
        (&[("base_model.model.m.lora_embedding_A", "F32", &[2, 3], 24)], "lora_embedding_A"),
        (&[("base_model.model.m.lora_magnitude_vector", "F32", &[2], 8)], "lora_magnitude_vector"),
        (&[("lora_A.weight", "F32", &[2, 3], 24)], "lora_A.weight is no A or B"),
        (
            &[
                (A, "F32", &[2, 3], 24),
                ("base_model.model.m.q_proj.lora_A.default.weight", "F32", &[2, 3], 24),
            ],
            "m.q_proj has two lora_A",
        ),
        (&[(A, "F32", &[2, 3], 20)], "adapter_model.safetensors"),
        (&[(A, "F32", &[1 << 62, 1 << 62], 24)], "adapter_model.safetensors"),
    ] {
        let text = text(tensors);
        assert!(text.contains(expected), "{expected}: {text}");
    }
    // peft-rs's spelling is read.
    let a = "base_model.model.m.q_proj.lora_A.default.weight";
    let b = "base_model.model.m.q_proj.lora_B.default.weight";
    let folder = folder_with(&[(a, "F32", &[2, 3], 24), (b, "F32", &[4, 2], 32)]);
    assert!(read::<f32>(folder.path()).unwrap().modules.contains_key("m.q_proj"));
}

#[test]
fn missing_and_pickled_files() {
    let directory = tempfile::tempdir().unwrap();
    let text = || read::<f32>(directory.path()).unwrap_err().to_string();
    assert!(text().contains("adapter_config.json"), "{}", text());
    std::fs::write(directory.path().join("adapter_config.json"), r#"{"peft_type":"LORA"}"#)
        .unwrap();
    assert!(text().contains("adapter_model.safetensors"), "{}", text());
    std::fs::write(directory.path().join("adapter_model.bin"), "x").unwrap();
    assert!(text().contains("pickle"), "{}", text());
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut bad = example();
    bad.modules.get_mut("layers.0.q_proj").unwrap().a[[0, 1]] = 1e300;
    write(directory.path(), &bad).unwrap();
    assert!(read::<f64>(directory.path()).is_ok());
    let text = read::<f32>(directory.path()).unwrap_err().to_string();
    assert!(text.contains("too large for F32"), "{text}");
    bad.modules.get_mut("layers.0.q_proj").unwrap().a[[0, 1]] = f64::NAN;
    write(directory.path(), &bad).unwrap();
    let text = read::<f64>(directory.path()).unwrap_err().to_string();
    assert!(text.contains("lora_A.weight holds NaN or infinity"), "{text}");
}

proptest! {
    /// Whatever bytes are cut or changed: an answer, never a panic.
    #[test]
    fn damaged_files_never_panic(cut in 0..2000usize, at in 0..2000usize, byte in any::<u8>(), config in any::<bool>()) {
        let directory = tempfile::tempdir().unwrap();
        for file in ["adapter_config.json", "adapter_model.safetensors"] {
            let mut bytes = std::fs::read(golden("rslora").join(file)).unwrap();
            if config == (file == "adapter_config.json") {
                bytes.truncate(bytes.len().min(cut.max(1)));
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            std::fs::write(directory.path().join(file), bytes).unwrap();
        }
        let _ = read::<f32>(directory.path());
    }
}
