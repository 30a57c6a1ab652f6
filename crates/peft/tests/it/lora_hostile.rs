//! LoRA: files that are damaged, that ask for what we do not have, or that someone made to do harm.

use crate::common::{Tensor, assert_says, damaged, damages, folder_with, zeros};
use half::{bf16, f16};
use lora::Lora;
use ndarray::{Array2, array};
use peft::{Extras, LoraConfig, LoraFolder, MethodNote, read, write};
use proptest::prelude::*;

/// Each field that would change what is computed, and that we do not compute, is named.
#[test]
fn configurations_are_refused_by_name() {
    for (json, expected) in [
        (r#"{"peft_type":"VERA","r":2}"#, "peft_type is VERA: a LORA adapter is needed here"),
        (r#"{"peft_type":"IA3"}"#, r#"peft_type is "IA3": LORA and VERA are supported"#),
        (r#"{"peft_type":7}"#, "peft_type is 7: invalid type"),
        (r#"{"r":2}"#, "peft_type is missing"),
        (
            r#"{"peft_type":"LORA","use_dora":true}"#,
            "use_dora is true: this is an adapter of the method dora",
        ),
        (r#"{"peft_type":"LORA","use_qalora":true}"#, "use_qalora"),
        (r#"{"peft_type":"LORA","use_bdlora":{"nblocks":2}}"#, "use_bdlora"),
        (r#"{"peft_type":"LORA","bias":"some"}"#, r#"bias is "some""#),
        (r#"{"peft_type":"LORA","modules_to_save":"lm_head"}"#, r#"modules_to_save is "lm_head""#),
        (r#"{"peft_type":"LORA","layer_replication":[[0,4]]}"#, "layer_replication"),
        (r#"{"peft_type":"LORA","trainable_token_indices":[1]}"#, "trainable_token_indices"),
        (r#"{"peft_type":"LORA","target_parameters":["w"]}"#, "target_parameters"),
        (r#"{"peft_type":"LORA","megatron_config":{"a":1}}"#, "megatron_config"),
        (r#"{"peft_type":"LORA","alora_invocation_tokens":[1]}"#, "alora_invocation_tokens"),
        (r#"{"peft_type":"LORA","arrow_config":{"top_k":3}}"#, "arrow_config"),
        (r#"{"peft_type":"LORA","kasa_config":{"a":1}}"#, "kasa_config"),
        (r#"{"peft_type":"LORA","velora_config":{"scale":1}}"#, "velora_config"),
        (r#"{"peft_type":"LORA","monteclora_config":{"a":1}}"#, "monteclora_config"),
        (r#"{"peft_type":"LORA","a_field_of_the_future":3}"#, "a_field_of_the_future is 3"),
        (r#"{"peft_type":"LORA","init_lora_weights":"pissa_niter_4"}"#, "by a random SVD"),
        (r#"{"peft_type":"LORA","init_lora_weights":"pissa"}"#, "so W is needed to read it"),
        (r#"{"peft_type":"LORA","init_lora_weights":"OLoRA"}"#, r#""olora": the adapter's start"#),
        (
            r#"{"peft_type":"LORA","init_lora_weights":"lora_ga"}"#,
            "gradients on data that the folder has not",
        ),
        (
            r#"{"peft_type":"LORA","init_lora_weights":"corda"}"#,
            "inputs were on data that the folder has not",
        ),
        (r#"{"peft_type":"LORA","init_lora_weights":"loftq"}"#, "W was quantised"),
        (
            r#"{"peft_type":"LORA","init_lora_weights":"of_2027"}"#,
            r#""of_2027": it is unknown here"#,
        ),
        (r#"{"peft_type":"LORA","init_lora_weights":1}"#, "init_lora_weights is 1"),
        (r#"{"peft_type":"LORA","r":0}"#, "r is 0: a rank is at least 1"),
        (r#"{"peft_type":"LORA","r":-1}"#, "r is -1: invalid value"),
        (r#"{"peft_type":"LORA","r":2.5}"#, "r is 2.5: invalid type"),
        (r#"{"peft_type":"LORA","rank_pattern":{"q":0}}"#, r#"rank_pattern of "q" is 0"#),
        (r#"{"peft_type":"LORA","rank_pattern":{"q":"x"}}"#, r#"rank_pattern of "q" is "x""#),
        (r#"{"peft_type":"LORA","rank_pattern":[2]}"#, "rank_pattern is [2]"),
        (r#"{"peft_type":"LORA","rank_pattern":{"(":2}}"#, "unclosed group"),
        (r#"{"peft_type":"LORA","alpha_pattern":{"(?!q)":2}}"#, "look-around"),
        (r#"{"peft_type":"LORA","alpha_pattern":{"(.{999}){999}":2}}"#, "exceeds size limit"),
        (r#"{"peft_type":"LORA","lora_dropout":1.0}"#, "lora_dropout is 1"),
        (r#"{"peft_type":"LORA","lora_alpha":"16"}"#, r#"lora_alpha is "16""#),
        (r#"{"peft_type":"LORA","lora_alpha":1e999}"#, r#""lora_alpha":1e999"#),
        ("{\n \"lora_alpha\": NaN,\n \"r\": 2\n}", r#"line 2 column 16: "lora_alpha": NaN,"#),
        (r#"{"peft_type":"LORA","target_modules":7}"#, "target_modules is 7"),
        (r#"{"peft_type":"LORA","target_modules":[7]}"#, "target_modules is [7]"),
        (r#"{"peft_type":"LORA","lowrank_method":"lora-fa"}"#, r#"lowrank_method is "lora-fa""#),
        (r#"{"peft_type":"LORA","lowrank_method":{"variant":"plain"}}"#, "missing field `method`"),
        (
            r#"{"peft_type":"LORA","lowrank_method":{"method":2}}"#,
            r#"lowrank_method is {"method":2}"#,
        ),
        (r#"{"peft_type":"LORA","lowrank_method":{"method":""}}"#, "lowrank_method is empty"),
        ("[]", "expected a map"),
        ("", "EOF"),
    ] {
        assert_says(LoraConfig::parse(json).unwrap_err(), expected);
    }
    let deep = format!(r#"{{"peft_type":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_says(LoraConfig::parse(&deep).unwrap_err(), "recursion limit");
}

/// The README's table of them.
#[test]
fn fields_that_the_readme_refuses_are_refused() {
    let table =
        include_str!("../../README.md").lines().skip_while(|line| *line != "| field | why |");
    let rows: Vec<&str> = table.skip(2).take_while(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), 10);
    for row in rows {
        let field = row.split('`').nth(1).unwrap();
        let name = field.split('"').nth(1).unwrap();
        let config = format!(r#"{{"peft_type":"LORA",{field}}}"#);
        assert_says(LoraConfig::parse(&config).unwrap_err(), &format!("{name} is "));
    }
}

/// What a configuration promises must be there, and what is there must be promised.
#[test]
fn tensors_beside_a_and_b_are_those_of_the_configuration() {
    let (a, b) = (zeros(A, "F32", &[2, 3], 24), zeros(B, "F32", &[4, 2], 32));
    let keys = [
        "q_proj.lora_B.bias",
        "q_proj.base_layer.bias",
        "k_proj.bias",
        "a_norm.weight",
        "lm_head.base_layer.weight",
        "e.lora_embedding_A",
        "e.lora_embedding_B",
    ]
    .map(|end| format!("base_model.model.m.{end}"));
    let vector = |at: usize| zeros(&keys[at], "F32", &[4], 16);
    let [lora_bias, base_bias, other_bias, norm] = [0, 1, 2, 3].map(vector);
    let head = zeros(&keys[4], "F32", &[3, 2], 24);
    let (e_a, e_b) = (zeros(&keys[5], "F32", &[2, 5], 40), zeros(&keys[6], "F32", &[3, 2], 24));
    let read = |fields: &str, more: &[Tensor<'_>]| {
        let config = format!(r#"{{"peft_type":"LORA","r":2,"lora_alpha":4{fields}}}"#);
        read::<f32>(folder_with(&config, &[&[a.clone(), b.clone()], more].concat()).path())
    };
    for (fields, more, expected) in [
        ("", vec![&lora_bias], "q_proj.lora_B.bias is not supported"),
        (r#","lora_bias":true"#, vec![], "lora_bias is true, and m.q_proj has no lora_B.bias"),
        ("", vec![&base_bias], "q_proj.base_layer.bias is not supported"),
        (r#","bias":"lora_only""#, vec![&other_bias], "m.k_proj.bias is not supported"),
        ("", vec![&norm], "a_norm.weight is not supported"),
        (r#","modules_to_save":["head"]"#, vec![&norm], "a_norm.weight is not supported"),
        (r#","modules_to_save":["norm","x"]"#, vec![&norm], "modules_to_save has x, and the file"),
        ("", vec![&e_a], "e.lora_embedding_A has no partner"),
        (r#","rank_pattern":{"e":1}"#, vec![&e_a, &e_b], "e.lora_embedding_A has shape [2, 5]"),
        (r#","target_modules":["q_proj"]"#, vec![&e_a, &e_b], "m.e is not among target_modules"),
    ] {
        let more: Vec<_> = more.into_iter().cloned().collect();
        assert_says(read(fields, &more).unwrap_err(), expected);
    }
    let fields = r#","lora_bias":true,"bias":"all","modules_to_save":["norm"]"#;
    let all = [lora_bias, base_bias, other_bias, norm, head, e_a, e_b];
    let folder = read(fields, &all).unwrap();
    let names = [
        "m.a_norm.weight",
        "m.k_proj.bias",
        "m.q_proj.bias",
        "m.lm_head.weight",
        "m.e",
        "m.q_proj",
    ];
    assert_eq!(folder.extras.names(), names);
    assert_eq!(folder.extras.embeddings["m.e"].shape(), [5, 3]);
    let out = tempfile::tempdir().unwrap();
    let error = write(&out.path().join("out"), &folder).unwrap_err();
    assert_says(
        error,
        "m.a_norm.weight is no adapter of a linear layer: such a folder is read and not written",
    );
}

#[test]
fn fields_without_effect_are_accepted() {
    let config = LoraConfig::parse(
        r#"{"peft_type":"LORA","r":4,"use_dora":false,"loftq_config":{},"bias":"none","lora_alpha":null,
        "rank_pattern":null,"megatron_core":"megatron.core","init_lora_weights":"eva","a_field_of_the_future":null,
        "eva_config":{"rho":2.0},"target_modules":["q_proj"],"fan_in_fan_out":true,"peft_version":"0.99"}"#,
    );
    let expected =
        LoraConfig { r: 4, target_modules: vec!["q_proj".into()], ..LoraConfig::default() };
    assert_eq!(config.unwrap(), expected);
    // A selection that needs the model: the folder's modules are what is adapted.
    for selection in [
        r#""target_modules":"all-linear""#,
        r#""target_modules":["q_proj"],"layers_to_transform":0"#,
        r#""target_modules":["q_proj"],"exclude_modules":["layers.1.q_proj"]"#,
    ] {
        let json = format!(r#"{{"peft_type":"LORA",{selection}}}"#);
        assert_eq!(LoraConfig::parse(&json).unwrap(), LoraConfig::default());
    }
}

/// PEFT's `get_pattern_key`: tests/golden.rs checks the same against PEFT itself.
#[test]
fn patterns_match_the_end_of_a_name_at_a_dot() {
    let config = LoraConfig::parse(
        r#"{"peft_type":"LORA","rank_pattern":{"q_proj":4,"layers\\.1\\.v_.*":2,"layers.1.v_proj":3,"a|b":5,"c++":6,
        "^o_proj":7}}"#,
    );
    let config = config.unwrap();
    let rank = |module| config.resolve(module).unwrap().rank;
    assert_eq!(rank("model.layers.0.q_proj"), 4);
    assert_eq!(rank("q_proj"), 4);
    assert_eq!(rank("model.layers.0.not_q_proj"), 8);
    assert_eq!(rank("model.q_proj.inner"), 8);
    assert_eq!(rank("model.layers.1.v_proj"), 2, "the first in the file decides");
    assert_eq!(rank("model.layers.11.v_proj"), 8);
    assert_eq!([rank("x.a"), rank("x.b"), rank("xb")], [5, 5, 8]);
    assert_eq!([rank("o_proj"), rank("x.o_proj")], [7, 8]);
}

const A: &str = "base_model.model.m.q_proj.lora_A.weight";
const B: &str = "base_model.model.m.q_proj.lora_B.weight";
const CONFIG: &str = r#"{"peft_type":"LORA","r":2,"lora_alpha":4}"#;

#[test]
fn tensors_are_refused_by_name() {
    let (a, b) = (zeros(A, "F32", &[2, 3], 24), zeros(B, "F32", &[4, 2], 32));
    let key = |end: &str| format!("base_model.model.m.q_proj.{end}");
    let extras = [
        "lora_B.bias",
        "lora_magnitude_vector.weight",
        "modules_to_save.weight",
        "weight",
        "vera_lambda_b",
    ]
    .map(key);
    for name in &extras {
        let folder = folder_with(CONFIG, &[a.clone(), b.clone(), zeros(name, "F32", &[4], 16)]);
        let text = read::<f32>(folder.path()).unwrap_err();
        assert_says(&text, &format!("adapter_model.safetensors: {name} is not supported"));
    }
    let twin = key("lora_A.default.weight");
    for (tensors, expected) in [
        (vec![], "the adapter is empty"),
        (vec![a.clone()], "q_proj.lora_A.weight has no partner"),
        (
            vec![zeros("e.lora_embedding_A", "F32", &[2, 3], 24)],
            "e.lora_embedding_A has no partner",
        ),
        (vec![b.clone()], "q_proj.lora_B.weight has no partner"),
        (
            vec![zeros(A, "F32", &[1, 3], 12), zeros(B, "F32", &[4, 1], 16)],
            "m.q_proj: lora_A is [1, 3] and lora_B [4, 1], but the configuration says rank 2",
        ),
        (
            vec![a.clone(), zeros(B, "F32", &[4, 3], 48)],
            "m.q_proj: lora_A is [2, 3] and lora_B [4, 3]",
        ),
        (vec![zeros(A, "I32", &[2, 3], 24), b.clone()], "lora_A.weight is I32"),
        (
            vec![zeros(A, "F32", &[2, 3, 1, 1], 24), b.clone()],
            "lora_A.weight has shape [2, 3, 1, 1]",
        ),
        (vec![a.clone(), b.clone(), zeros(&twin, "F32", &[2, 3], 24)], "lora_A.default.weight"),
        (vec![zeros("lora_A.weight", "F32", &[2, 3], 24)], "lora_A.weight is not supported"),
        (
            vec![zeros("base_model.model..lora_A.weight", "F32", &[2, 3], 24)],
            "base_model.model..lora_A.weight is not supported",
        ),
        (vec![zeros(A, "F32", &[2, 3], 20), b.clone()], "a wrong safetensors header"),
        (vec![zeros(A, "F32", &[1 << 62, 1 << 62], 24)], "a wrong safetensors header"),
        (vec![zeros(A, "F32", &[2, 1 << 62, 0], 0), b.clone()], "has shape"),
        (vec![zeros(A, "F32", &[1 << 63, 0], 0), b.clone()], "has shape"),
    ] {
        let folder = folder_with(CONFIG, &tensors);
        let error = read::<f32>(folder.path()).unwrap_err();
        assert_says(&error, "adapter_model.safetensors: ");
        assert_says(error, expected);
    }
    let elsewhere = r#"{"peft_type":"LORA","r":2,"target_modules":["v_proj","proj"]}"#;
    let folder = folder_with(elsewhere, &[a.clone(), b.clone()]);
    assert_says(read::<f32>(folder.path()).unwrap_err(), "m.q_proj is not among target_modules");
    let huge = r#"{"peft_type":"LORA","r":2,"lora_alpha":1e300}"#;
    let folder = folder_with(huge, &[a, b]);
    assert_says(read::<f32>(folder.path()).unwrap_err(), "m.q_proj: scale is inf");
}

#[test]
fn reads_the_spelling_of_peft_rs() {
    let [a, b] = [A, B].map(|key| key.replace(".weight", ".default.weight"));
    let tensors = [zeros(&a, "F32", &[2, 3], 24), zeros(&b, "F32", &[4, 2], 32)];
    let folder = folder_with(CONFIG, &tensors);
    assert!(read::<f32>(folder.path()).unwrap().modules.contains_key("m.q_proj"));
}

/// 1.5 and −2⁻¹⁰ are exact in each of the four.
#[test]
fn reads_four_kinds_of_numbers() {
    let values = [1.5, -0.000_976_562_5];
    let each = |bytes: &dyn Fn(f64) -> Vec<u8>| values.iter().flat_map(|&x| bytes(x)).collect();
    let kinds: [(&str, Vec<u8>); 4] = [
        ("F64", each(&|x| x.to_le_bytes().to_vec())),
        ("F32", each(&|x| (x as f32).to_le_bytes().to_vec())),
        ("F16", each(&|x| f16::from_f64(x).to_le_bytes().to_vec())),
        ("BF16", each(&|x| bf16::from_f64(x).to_le_bytes().to_vec())),
    ];
    for (dtype, bytes) in kinds {
        let tensors = [(A, dtype, &[2, 1][..], bytes.clone()), (B, dtype, &[1, 2], bytes)];
        let folder = folder_with(CONFIG, &tensors);
        let lora = &read::<f64>(folder.path()).unwrap().modules["m.q_proj"];
        assert_eq!((&lora.a, &lora.b), (&array![[1.5], [values[1]]], &array![[1.5, values[1]]]));
    }
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let number = |x: f64| [0.0, 0.0, 0.0, x].iter().flat_map(|x| x.to_le_bytes()).collect();
    let read_with = |x: f64| {
        let tensors = [(A, "F64", &[2, 2][..], number(x)), (B, "F64", &[2, 2], vec![0; 32])];
        let folder = folder_with(CONFIG, &tensors);
        (read::<f32>(folder.path()), read::<f64>(folder.path()))
    };
    for (x, says) in [(f64::NAN, "NaN"), (f64::NEG_INFINITY, "-inf")] {
        let (single, double) = read_with(x);
        let says = format!("lora_A.weight holds {says} at [1, 1]");
        assert_says(single.unwrap_err(), &says);
        assert_says(double.unwrap_err(), &says);
    }
    let (single, double) = read_with(1e300);
    assert_says(single.unwrap_err(), "lora_A.weight holds a number too large for F32");
    assert_eq!(double.unwrap().modules["m.q_proj"].a[[1, 1]], 1e300);
}

#[test]
fn missing_pickled_and_cut_off_files() {
    let directory = tempfile::tempdir().unwrap();
    let says = |expected: &str| assert_says(read::<f32>(directory.path()).unwrap_err(), expected);
    let put =
        |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes).unwrap();
    says("adapter_config.json: No such file");
    put("adapter_config.json", b"\xff\xfe");
    says("adapter_config.json: stream did not contain valid UTF-8");
    put("adapter_config.json", CONFIG.as_bytes());
    says("adapter_model.safetensors: No such file");
    put("adapter_model.bin", b"x");
    says("adapter_model.bin: no zip archive as torch.save writes it since 1.6");
    put("adapter_model.safetensors", b"short");
    says("adapter_model.safetensors: 5 bytes are no safetensors file");
    put("adapter_model.safetensors", &[0xff; 9]);
    says("the header claims 18446744073709551615 bytes and the file has 9");
    put("adapter_model.safetensors", b"\x02\0\0\0\0\0\0\0{}x");
    says("the header describes 0 bytes of tensors and the file has 1");
    let file = directory.path().join("adapter_model.bin");
    assert_says(read::<f32>(&file).unwrap_err(), "adapter_model.bin/adapter_config.json: ");
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
        extras: Extras::default(),
    }
}

#[test]
fn write_refuses_what_would_not_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let says = |change: &dyn Fn(&mut LoraFolder<f64>), expected: &str| {
        let mut folder = example();
        change(&mut folder);
        assert_says(write(&out, &folder).unwrap_err(), expected);
        assert!(!out.exists(), "something was written");
    };
    fn lora(folder: &mut LoraFolder<f64>) -> &mut Lora<f64> {
        folder.modules.get_mut("layers.0.q_proj").unwrap()
    }
    says(
        &|f| lora(f).scale = 16.0,
        "layers.0.q_proj has rank 2 and scale 16, but the configuration says 2 and 8",
    );
    says(&|f| lora(f).a = Array2::ones((3, 2)), "has rank 3");
    says(&|f| lora(f).b = Array2::ones((3, 1)), "layers.0.q_proj: B");
    says(&|f| lora(f).a[[0, 1]] = f64::NAN, "layers.0.q_proj: A holds NaN at [0, 1]");
    says(&|f| f.config.lora_alpha = f64::INFINITY, "lora_alpha is inf");
    says(&|f| f.config.lora_dropout = f64::NAN, "lora_dropout is NaN");
    says(
        &|f| f.config.alpha_pattern = vec![("x".into(), f64::NAN)],
        r#"alpha_pattern of "x" is NaN"#,
    );
    says(&|f| f.config.target_modules = vec!["proj".into()], "layers.0.q_proj is not among");
    let note = |method: &str, settings: &[&str]| {
        let settings = settings.iter().map(|name| ((*name).to_owned(), 1.into())).collect();
        Some(MethodNote { method: method.to_owned(), settings })
    };
    says(&|f| f.config.lowrank_method = note("", &[]), "lowrank_method is empty");
    says(&|f| f.config.lowrank_method = note("lora-fa", &["method"]), "a setting called method");
    says(&|f| f.modules.clear(), "the adapter is empty");
    says(&|f| f.modules = [(String::new(), lora(f).clone())].into(), "a module has no name");

    write(&out, &example()).unwrap();
    let mut worse = example();
    lora(&mut worse).b[[2, 1]] = f64::INFINITY;
    assert_says(write(&out, &worse).unwrap_err(), "B holds inf at [2, 1]");
    assert_eq!(read::<f64>(&out).unwrap(), example());

    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_says(write(&file, &example()).unwrap_err(), "file: ");
    let scale = f64::NAN;
    let modules = [("q".to_owned(), Lora { scale, ..lora(&mut example()).clone() })].into();
    let error = LoraFolder::new(LoraConfig::default(), modules).unwrap_err();
    assert_says(error, "q: no α gives the scale NaN at rank 2");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    /// Whatever bytes are cut or changed: an answer, never a panic.
    #[test]
    fn damaged_files_never_panic(damage in damages()) {
        let directory = damaged("rslora", damage);
        if let Ok(folder) = read::<f32>(directory.path()) {
            // What is accepted can be written.
            write(&directory.path().join("again"), &folder).unwrap();
        }
    }
}
