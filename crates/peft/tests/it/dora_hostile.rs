//! DoRA: what is refused beside what LoRA's tests refuse already.

use crate::common::{assert_says, damaged, damages, folder_with, zeros};
use dora::Dora;
use lora::Lora;
use ndarray::{Array1, Array2};
use peft::{DoraFolder, LoraConfig, read, read_dora, read_vera, write_dora};
use proptest::prelude::*;

const CONFIG: &str = r#"{"peft_type":"LORA","r":2,"lora_alpha":4,"use_dora":true}"#;
const LORA: &str = r#"{"peft_type":"LORA","r":2,"lora_alpha":4,"use_dora":false}"#;
const A: &str = "base_model.model.m.q_proj.lora_A.weight";
const B: &str = "base_model.model.m.q_proj.lora_B.weight";
const M: &str = "base_model.model.m.q_proj.lora_magnitude_vector";

/// A DoRA is no LoRA, and the other way round.
#[test]
fn each_reader_names_the_method_of_the_other() {
    let (a, b) = (zeros(A, "F32", &[2, 3], 24), zeros(B, "F32", &[4, 2], 32));
    let m = zeros(M, "F32", &[4], 16);
    let dora = folder_with(CONFIG, &[a.clone(), b.clone(), m]);
    assert_eq!(peft::kind(dora.path()).unwrap(), peft::Kind::Dora);
    assert_eq!(read_dora::<f32>(dora.path()).unwrap().modules["m.q_proj"].magnitude.len(), 4);
    assert_says(read::<f32>(dora.path()).unwrap_err(), "use_dora is true: this is an adapter of");
    assert_says(LoraConfig::parse(CONFIG).unwrap_err(), "the method dora, not of LoRA");
    let error = read_vera::<f32>(dora.path(), |_| None).unwrap_err();
    assert_says(error, "peft_type is LORA: a VERA adapter is needed here");

    let lora = folder_with(LORA, &[a, b]);
    assert_eq!(peft::kind(lora.path()).unwrap(), peft::Kind::Lora);
    assert_says(read_dora::<f32>(lora.path()).unwrap_err(), "use_dora is false: this is an");
    let vera = folder_with(r#"{"peft_type":"VERA","r":2}"#, &[]);
    let error = read_dora::<f32>(vera.path()).unwrap_err();
    assert_says(error, "peft_type is VERA: a LORA adapter is needed here");
    let strange = r#"{"peft_type":"LORA","use_dora":"yes"}"#;
    assert_says(LoraConfig::parse(strange).unwrap_err(), r#"use_dora is "yes""#);
    let strange = folder_with(r#"{"peft_type":"VERA","use_dora":true}"#, &[]);
    let error = read_vera::<f32>(strange.path(), |_| None).unwrap_err();
    assert_says(error, "use_dora is true: not supported");
}

#[test]
fn tensors_are_refused_by_name() {
    let (a, b) = (zeros(A, "F32", &[2, 3], 24), zeros(B, "F32", &[4, 2], 32));
    let m = zeros(M, "F32", &[4], 16);
    let alone = "base_model.model.m.v_proj.lora_magnitude_vector";
    let nan = f32::NAN.to_le_bytes().repeat(4);
    for (tensors, expected) in [
        (vec![], "the adapter is empty"),
        (vec![a.clone(), b.clone()], "m.q_proj.lora_magnitude_vector is missing"),
        (vec![a.clone(), m.clone()], "m.q_proj.lora_A.weight has no partner"),
        (vec![m.clone()], "m.q_proj.lora_magnitude_vector is not supported: only"),
        (
            vec![a.clone(), b.clone(), m.clone(), zeros(alone, "F32", &[4], 16)],
            "m.v_proj.lora_magnitude_vector is not supported: only base_model.model.<module>.lora_A.weight",
        ),
        (
            vec![a.clone(), b.clone(), zeros(M, "F32", &[3], 12)],
            "m.q_proj: m has shape [3] where [4] is needed",
        ),
        (
            vec![a.clone(), b.clone(), zeros(M, "F32", &[4, 1], 16)],
            "lora_magnitude_vector has shape [4, 1]: a vector is needed",
        ),
        (vec![a, b, (M, "F32", &[4], nan)], "lora_magnitude_vector holds NaN at [0]"),
    ] {
        let error = read_dora::<f32>(folder_with(CONFIG, &tensors).path()).unwrap_err();
        assert_says(&error, "adapter_model.safetensors: ");
        assert_says(error, expected);
    }
}

fn example() -> DoraFolder<f64> {
    let lora = Lora::new(Array2::eye(2), Array2::ones((3, 2)), 8.0).unwrap();
    let dora = Dora::new(lora, Array1::from(vec![1.0, -0.5, 1e300])).unwrap();
    let modules = [("layers.0.q_proj".to_owned(), dora)].into();
    let config = LoraConfig { target_modules: vec!["q_proj".into()], ..LoraConfig::default() };
    DoraFolder::new(config, modules).unwrap()
}

#[test]
fn write_refuses_what_would_not_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let says = |change: &dyn Fn(&mut Dora<f64>), expected: &str| {
        let mut folder = example();
        change(folder.modules.get_mut("layers.0.q_proj").unwrap());
        assert_says(write_dora(&out, &folder).unwrap_err(), expected);
        assert!(!out.exists(), "something was written");
    };
    says(&|dora| dora.magnitude[1] = f64::NAN, "layers.0.q_proj: m holds NaN at [1]");
    says(&|dora| dora.magnitude = Array1::ones(1), "q_proj: m has shape [1] where [3] is needed");
    says(&|dora| dora.lora.scale = 16.0, "has rank 2 and scale 16, but the configuration says");
    says(&|dora| dora.lora.a[[0, 1]] = f64::NAN, "layers.0.q_proj: A holds NaN at [0, 1]");

    write_dora(&out, &example()).unwrap();
    assert_eq!(read_dora::<f64>(&out).unwrap(), example());
    let error = read_dora::<f32>(&out).unwrap_err();
    assert_says(error, "lora_magnitude_vector holds a number too large for F32");
    let mut none = example();
    none.modules.clear();
    assert_says(write_dora(&out, &none).unwrap_err(), "the adapter is empty");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    /// Whatever bytes are cut or changed: an answer, never a panic.
    #[test]
    fn damaged_files_never_panic(damage in damages()) {
        let directory = damaged("dora", damage);
        if let Ok(folder) = read_dora::<f32>(directory.path()) {
            // What is accepted can be written.
            write_dora(&directory.path().join("again"), &folder).unwrap();
        }
    }

    /// What we write, we read: any ranks, scales and numbers, bit for bit.
    #[test]
    fn dora_comes_back(
        rank in 1..5usize, out in 1..6usize, inputs in 1..6usize, alpha in -64.0..64.0,
        numbers in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::ZERO, 1..9),
    ) {
        let mut next = numbers.iter().copied().cycle();
        let mut fill = |shape| Array2::from_shape_simple_fn(shape, || next.next().unwrap());
        let lora = Lora::new(fill((rank, inputs)), fill((out, rank)), alpha / rank as f64).unwrap();
        let dora = Dora::new(lora, fill((1, out)).row(0).to_owned()).unwrap();
        let modules = [("layers.0.q_proj".to_owned(), dora)].into();
        let folder = DoraFolder::new(LoraConfig::default(), modules).unwrap();
        let directory = tempfile::tempdir().unwrap();
        write_dora(directory.path(), &folder).unwrap();
        prop_assert_eq!(read_dora::<f64>(directory.path()).unwrap().modules, folder.modules);
    }
}
