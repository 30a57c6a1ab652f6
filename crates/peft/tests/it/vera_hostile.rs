//! VeRA: files that are damaged, that ask for what we do not have, or that someone made to do harm.

use std::sync::Arc;

use crate::common::{Tensor, assert_says, damaged, damages, folder_with, zeros};
use ndarray::{Array1, Array2};
use peft::{Kind, VeraConfig, VeraFolder, kind, read_vera, write_vera};
use proptest::prelude::*;
use vera::{Projections, Sharing, Vera};

#[test]
fn configurations_are_refused_by_name() {
    for (fields, expected) in [
        (r#""bias":"vera_only""#, r#"bias is "vera_only": not supported"#),
        (r#""modules_to_save":["lm_head"]"#, "modules_to_save"),
        (r#""lora_alpha":8"#, "lora_alpha is 8: not supported"),
        (r#""a_field_of_the_future":3"#, "a_field_of_the_future is 3"),
        (r#""r":0"#, "r is 0: a rank is at least 1"),
        (r#""r":-1"#, "r is -1: invalid value"),
        (r#""projection_prng_key":-1"#, "projection_prng_key is -1: invalid value"),
        (r#""projection_prng_key":18446744073709551616"#, "expected u64"),
        (r#""save_projection":"yes""#, r#"save_projection is "yes""#),
        (r#""vera_dropout":1.0"#, "vera_dropout is 1: 0 ≤ p < 1"),
        (r#""d_initial":"small""#, r#"d_initial is "small""#),
        (r#""d_initial":1e999"#, "out of range"),
        (r#""target_modules":7"#, "target_modules is 7"),
        (
            r#""lowrank_method":{"method":"vera"}"#,
            r#"lowrank_method is {"method":"vera"}: of a VERA"#,
        ),
        (
            r#""lowrank_method":{"method":"lora-fa"}"#,
            r#"only {"method":"vera","sharing":"per_shape"} is known"#,
        ),
        (r#""lowrank_method":{"sharing":"per_shape"}"#, "missing field `method`"),
        (
            r#""lowrank_method":{"method":"vera","sharing":"per_shape"},"save_projection":false"#,
            "set save_projection, or share by MaxSlice",
        ),
    ] {
        let json = format!(r#"{{"peft_type":"VERA",{fields}}}"#);
        assert_says(VeraConfig::parse(&json).unwrap_err(), expected);
    }
    let lora = VeraConfig::parse(r#"{"peft_type":"LORA","r":2}"#);
    assert_says(lora.unwrap_err(), "peft_type is LORA: a VERA adapter is needed here");
    let fields = r#"{"peft_type":"VERA","init_weights":false,"layers_pattern":"h","fan_in_fan_out":true,"r":null}"#;
    assert_eq!(VeraConfig::parse(fields).unwrap(), VeraConfig::default());
}

#[test]
fn the_kind_of_a_folder() {
    let says = |config| kind(folder_with(config, &[]).path());
    assert_eq!(says(r#"{"peft_type":"LORA"}"#).unwrap(), Kind::Lora);
    // Whatever else the configuration holds: reading it will say.
    assert_eq!(says(r#"{"peft_type":"VERA","r":0}"#).unwrap(), Kind::Vera);
    let error = says(r#"{"peft_type":"ADALORA"}"#).unwrap_err();
    assert_says(
        error,
        r#"adapter_config.json: peft_type is "ADALORA": LORA and VERA are supported"#,
    );
    assert_says(says("{}").unwrap_err(), "peft_type is missing");
    assert_says(says("{").unwrap_err(), "adapter_config.json: EOF");
    let nothing = tempfile::tempdir().unwrap();
    assert_says(kind(nothing.path()).unwrap_err(), "adapter_config.json: No such file");
}

/// A model of two modules: the largest out is one's, the largest in the other's.
fn shape(module: &str) -> Option<[usize; 2]> {
    match module {
        "m.q" => Some([4, 3]),
        "m.k" => Some([2, 5]),
        _ => None,
    }
}

const SAVED: &str = r#"{"peft_type":"VERA","r":2}"#;
const KEY: &str = r#"{"peft_type":"VERA","r":2,"save_projection":false}"#;
const PER_SHAPE: &str =
    r#"{"peft_type":"VERA","r":2,"lowrank_method":{"method":"vera","sharing":"per_shape"}}"#;

const Q_B: &str = "base_model.model.m.q.vera_lambda_b";
const Q_D: &str = "base_model.model.m.q.vera_lambda_d";
const K_B: &str = "base_model.model.m.k.vera_lambda_b";
const K_D: &str = "base_model.model.m.k.vera_lambda_d";

fn tensor<'a>(name: &'a str, shape: &'a [usize]) -> Tensor<'a> {
    zeros(name, "F32", shape, 4 * shape.iter().product::<usize>())
}

/// b and d of both modules, and others.
fn vectors_and<'a>(others: &[Tensor<'a>]) -> Vec<Tensor<'a>> {
    let vectors = [tensor(Q_B, &[4]), tensor(Q_D, &[2]), tensor(K_B, &[2]), tensor(K_D, &[2])];
    [&vectors, others].concat()
}

#[track_caller]
fn refused(config: &str, tensors: &[Tensor<'_>], expected: &str) {
    let folder = folder_with(config, tensors);
    let error = read_vera::<f32>(folder.path(), shape).unwrap_err();
    assert_says(&error, "adapter_model.safetensors: ");
    assert_says(error, expected);
}

#[test]
fn vectors_are_refused_by_name() {
    let nan = f32::NAN.to_le_bytes().repeat(2);
    let read = |tensors: &[Tensor<'_>]| read_vera::<f32>(folder_with(KEY, tensors).path(), shape);
    read(&vectors_and(&[])).unwrap();
    refused(KEY, &[], "the adapter is empty");
    for (removed, added, expected) in [
        (Q_B, None, "m.q.vera_lambda_d has no partner"),
        (Q_D, None, "m.q.vera_lambda_b has no partner"),
        (Q_B, Some(tensor(Q_B, &[3])), "m.q.vera_lambda_b has shape [3] where [4] is needed"),
        (Q_B, Some(tensor(Q_B, &[4, 1])), "m.q.vera_lambda_b has shape [4, 1]: a vector"),
        (Q_B, Some(tensor(Q_B, &[])), "m.q.vera_lambda_b has shape []: a vector is needed"),
        (Q_D, Some(tensor(Q_D, &[3])), "m.q.vera_lambda_d has shape [3] where [2] is needed"),
        (Q_D, Some((Q_D, "F32", &[2], nan)), "m.q.vera_lambda_d holds NaN at [0]"),
        (Q_D, Some(zeros(Q_D, "I32", &[2], 8)), "m.q.vera_lambda_d is I32"),
    ] {
        let mut tensors = vectors_and(added.as_slice());
        let first = tensors.iter().position(|(name, ..)| *name == removed).unwrap();
        tensors.remove(first);
        refused(KEY, &tensors, expected);
    }
    for name in ["m.q.lora_A.weight", "m.q.vera_A", "m.q.bias", ".vera_lambda_b"] {
        let name = format!("base_model.model.{name}");
        let tensors = vectors_and(&[tensor(&name, &[2])]);
        refused(
            KEY,
            &tensors,
            &format!(
                "{name} is not supported: with save_projection false only base_model.model.<module>.vera_lambda_b"
            ),
        );
    }
    let strange = "base_model.model.m.v.vera_lambda_";
    let [b, d] = ["b", "d"].map(|end| format!("{strange}{end}"));
    let tensors = vectors_and(&[tensor(&b, &[2]), tensor(&d, &[2])]);
    refused(KEY, &tensors, "the model has no linear layer m.v");
    let elsewhere = r#"{"peft_type":"VERA","r":2,"target_modules":["q"]}"#;
    refused(elsewhere, &vectors_and(&[]), r#"m.k is not among target_modules ["q"]"#);
    // A rank that would need 2⁶⁰ numbers is refused before they are drawn.
    let huge = r#"{"peft_type":"VERA","r":1152921504606846976,"save_projection":false}"#;
    refused(huge, &vectors_and(&[]), "vera_lambda_d has shape [2] where [1152921504606846976]");
}

#[test]
fn projections_are_refused_by_name() {
    const A: &str = "base_model.vera_A";
    const B: &str = "base_model.vera_B";
    let (a, b) = (tensor(A, &[2, 5]), tensor(B, &[4, 2]));
    let read = |config, tensors: &[Tensor<'_>]| {
        read_vera::<f32>(folder_with(config, &vectors_and(tensors)).path(), shape)
    };
    read(SAVED, &[a.clone(), b.clone()]).unwrap();
    for (config, tensors, expected) in [
        (SAVED, vec![], "base_model.vera_A is missing"),
        (SAVED, vec![a.clone()], "base_model.vera_B is missing"),
        (
            KEY,
            vec![a.clone(), b.clone()],
            "vera_A is not supported: with save_projection false only",
        ),
        (SAVED, vec![tensor(A, &[2, 3]), b.clone()], "vera_A has shape [2, 3] where [2, 5] is"),
        (SAVED, vec![tensor(A, &[2, 6]), b.clone()], "vera_A has shape [2, 6] where [2, 5] is"),
        (SAVED, vec![a.clone(), tensor(B, &[2, 2])], "vera_B has shape [2, 2] where [4, 2] is"),
        (SAVED, vec![a.clone(), tensor(B, &[4, 3])], "B has shape [4, 3] where [4, 2] is needed"),
        (
            SAVED,
            vec![tensor(A, &[3, 5]), tensor(B, &[4, 3])],
            "vera_A has shape [3, 5] where [2, 5] is needed",
        ),
        (SAVED, vec![tensor(A, &[0, 5]), tensor(B, &[4, 0])], "rank is 0"),
        (SAVED, vec![tensor(A, &[10]), b.clone()], "vera_A has shape [10]: only matrices"),
        (PER_SHAPE, vec![a, b], "base_model.vera_A is not supported"),
    ] {
        refused(config, &vectors_and(&tensors), expected);
    }

    let names = ["A.4x3", "B.4x3", "A.2x5", "B.2x5"].map(|end| format!("base_model.vera_{end}"));
    let shapes = [[2, 3], [4, 2], [2, 5], [2, 2]];
    let mut tensors: Vec<Tensor<'_>> =
        names.iter().zip(&shapes).map(|(name, shape)| tensor(name, shape)).collect();
    let modules = read(PER_SHAPE, &tensors).unwrap().modules;
    assert_eq!(modules["m.k"].projections().b().dim(), (2, 2));
    refused(
        SAVED,
        &vectors_and(&tensors),
        "base_model.vera_A.4x3 is not supported: with save_projection true",
    );
    for unused in ["base_model.vera_A.2x3", "base_model.vera_A.04x3"] {
        let with = [&tensors[..], &[tensor(unused, &[2, 3])]].concat();
        refused(PER_SHAPE, &vectors_and(&with), &format!("{unused} is not supported"));
    }
    tensors.pop();
    refused(PER_SHAPE, &vectors_and(&tensors), "base_model.vera_B.2x5 is missing");
}

/// The two modules with the projections of the key 0, and b that is not 0.
fn example(sharing: Sharing, save_projection: bool) -> VeraFolder<f64> {
    let config = VeraConfig { r: 2, sharing, save_projection, ..VeraConfig::default() };
    let pool = vera::Pool::new([[4, 3], [2, 5]], sharing, |shape| Projections::peft(0, 2, shape));
    let pool = pool.unwrap();
    let modules = ["m.q", "m.k"].map(|module| {
        let [out, inputs] = shape(module).unwrap();
        let pair = pool.get([out, inputs]).unwrap();
        let vera = Vera::new(Array1::ones(out), Array1::ones(2), inputs, pair).unwrap();
        (module.to_owned(), vera)
    });
    VeraFolder { config, modules: modules.into() }
}

#[test]
fn write_refuses_what_would_not_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    type Change<'a> = &'a dyn Fn(&mut VeraFolder<f64>);
    let says = |mut folder: VeraFolder<f64>, change: Change<'_>, expected: &str| {
        change(&mut folder);
        assert_says(write_vera(&out, &folder).unwrap_err(), expected);
        assert!(!out.exists(), "something was written");
    };
    fn vera<'a>(folder: &'a mut VeraFolder<f64>, module: &str) -> &'a mut Vera<f64> {
        folder.modules.get_mut(module).unwrap()
    }
    /// A and B of these shapes in both modules, or in one.
    fn put(folder: &mut VeraFolder<f64>, modules: &[&str], a: Array2<f64>, b: Array2<f64>) {
        let pair = Arc::new(Projections::new(a, b).unwrap());
        for module in modules {
            let Vera { lambda_b, lambda_d, .. } = vera(folder, module).clone();
            let inputs = shape(module).unwrap()[1];
            let new = Vera::new(lambda_b, lambda_d, inputs, Arc::clone(&pair)).unwrap();
            *vera(folder, module) = new;
        }
    }
    let saved = || example(Sharing::MaxSlice, true);
    let key = || example(Sharing::MaxSlice, false);
    let both = ["m.k", "m.q"];
    let ones = Array2::<f64>::ones::<(usize, usize)>;

    says(saved(), &|f| f.config.r = 3, "m.k: lambda_d has shape [2] where [3] is needed");
    says(saved(), &|f| f.config.d_initial = f64::NAN, "d_initial is NaN");
    says(saved(), &|f| f.config.vera_dropout = 1.5, "vera_dropout is 1.5");
    says(saved(), &|f| f.config.target_modules = vec!["q".into()], "m.k is not among");
    says(saved(), &|f| f.modules.clear(), "the adapter is empty");
    says(
        saved(),
        &|f| {
            let module = vera(f, "m.q").clone();
            f.modules.insert(String::new(), module);
        },
        "a module has no name",
    );
    says(
        saved(),
        &|f| vera(f, "m.q").lambda_b[3] = f64::INFINITY,
        "m.q: lambda_b holds inf at [3]",
    );
    says(saved(), &|f| vera(f, "m.k").lambda_d[1] = f64::NAN, "m.k: lambda_d holds NaN at [1]");
    says(saved(), &|f| vera(f, "m.k").lambda_d = Array1::ones(3), "m.k: lambda_d has shape [3]");
    // b is public: a wrong length is an error and not a panic.
    says(saved(), &|f| vera(f, "m.q").lambda_b = Array1::ones(9), "where [9, 2] is needed");
    says(
        saved(),
        &|f| put(f, &both, ones((2, 5)) * f64::NAN, ones((4, 2))),
        "m.k: A holds NaN at [0, 0]",
    );
    says(
        saved(),
        &|f| put(f, &both, ones((2, 6)), ones((4, 2))),
        "m.k: A has shape [2, 6] where [2, 5] is needed",
    );
    says(
        saved(),
        &|f| put(f, &both, ones((2, 5)), ones((5, 2))),
        "m.k: B has shape [5, 2] where [4, 2] is needed",
    );
    says(
        saved(),
        &|f| put(f, &["m.q"], ones((2, 5)), ones((4, 2))),
        "m.k and m.q have different projections",
    );
    says(
        key(),
        &|f| put(f, &both, ones((2, 5)), ones((4, 2))),
        "A and B are not what projection_prng_key 0 gives for [out, in] = [4, 5]: set save_projection",
    );
    says(key(), &|f| f.config.projection_prng_key = 1, "projection_prng_key 1 gives");
    says(key(), &|f| f.config.sharing = Sharing::PerShape, "set save_projection, or share by");
    // Of one shape each: not the pair of the largest.
    says(
        example(Sharing::PerShape, true),
        &|f| f.config.sharing = Sharing::MaxSlice,
        "m.k: B has shape [2, 2] where [4, 2] is needed",
    );
    says(
        saved(),
        &|f| f.config.sharing = Sharing::PerShape,
        "m.k: B has shape [4, 2] where [2, 2] is needed",
    );

    write_vera(&out, &saved()).unwrap();
    let mut worse = saved();
    vera(&mut worse, "m.q").lambda_b[0] = f64::NAN;
    assert!(write_vera(&out, &worse).is_err());
    let mut want = saved();
    want.config.target_modules = both.map(str::to_owned).into();
    assert_eq!(read_vera::<f64>(&out, shape).unwrap(), want);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    /// Whatever bytes are cut or changed: an answer, never a panic.
    #[test]
    fn damaged_files_never_panic(damage in damages(), saved in any::<bool>()) {
        let directory = damaged(if saved { "vera_saved" } else { "vera_key" }, damage);
        // Any module is in the model, with the shapes of tests/make_golden.py.
        let shape = |module: &str| match module.rsplit('.').next() {
            Some("q_proj") => Some([6, 4]),
            Some("v_proj") => Some([3, 4]),
            _ => Some([5, 7]),
        };
        if let Ok(folder) = read_vera::<f32>(directory.path(), shape) {
            // What is accepted can be written.
            write_vera(&directory.path().join("again"), &folder).unwrap();
        }
    }
}
