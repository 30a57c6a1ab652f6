//! What is DoRA's alone: a length that is divided by.

use oracle::selftest::{Called, Made, Outcome, Settings, selftest, submission, survivors};
use oracle::{Method, Options, Profile, TensorFile, Verdict, check, emit, mutants, read_case};

use crate::common::{file, matrix, text, vector, vectors};

fn shipped(id: &str) -> TensorFile {
    read_case(&vectors().join(format!("{id}.safetensors"))).unwrap().1
}

/// 3 tokens, 5 inputs, 4 outputs, rank 2.
fn layer(op: &str) -> TensorFile {
    let tensors = [
        ("in.weight", matrix(4, 5, 1)),
        ("in.lora_A", matrix(2, 5, 2)),
        ("in.lora_B", matrix(4, 2, 3)),
        ("in.lora_magnitude_vector", vector(4, 4)),
    ];
    let passes = op == "forward" || op == "backward";
    let mut all = tensors.to_vec();
    if passes {
        all.push(("in.x", matrix(3, 5, 6)));
    }
    if op == "backward" {
        all.push(("in.grad_y", matrix(3, 4, 7)));
    }
    file(&text("dora", op, ""), &all)
}

/// Every mistake fails in f32 and in bf16 however it rounds, no right result does, and none is called by another's name.
#[test]
fn every_mistake_fails_and_none_is_called_by_a_wrong_name() {
    let settings = Settings {
        vectors: vectors(),
        generator: None,
        no_generator: true,
        methods: vec![Method::Dora],
        ops: Vec::new(),
    };
    let test = selftest(&settings, &|_, _| {}).unwrap();
    assert!(test.passed(), "{:?}", test.parts);
    assert!(
        test.parts
            .iter()
            .any(|(part, outcome)| { *part == "honest" && matches!(outcome, Outcome::Passed(_)) })
    );
    let living = survivors(&test.matrix, true);
    let living: Vec<_> = living.iter().filter(|one| one.method == Method::Dora).collect();
    assert!(living.is_empty(), "{living:?}");

    let own: Vec<&str> = mutants()
        .filter(|mutant| mutant.methods == [Method::Dora])
        .map(|mutant| mutant.name)
        .collect();
    assert!(own.len() >= 20, "{own:?}");
    let named = test.confusion.iter().filter(|one| {
        matches!((one.made, &one.called), (Made::Mistake(mutant), Called::Right(_)) if own.contains(&mutant.name))
    });
    assert!(named.count() * 100 >= own.len() * 2 * 90);
}

#[test]
fn a_row_that_nearly_cancels_is_judged_in_f32_and_not_in_bf16() {
    let case = shipped("dora/merge/near-zero-bounded");
    let judged = |precision| {
        let right = submission(&case, None, precision).unwrap().unwrap();
        check(&case, Some(&right), Options::default()).unwrap()
    };
    assert_eq!(judged(Profile::F32).verdict, Verdict::Pass);
    let report = judged(Profile::Bf16);
    assert_eq!(report.verdict, Verdict::NotRun, "{report}");
    assert!(report.warnings[0].contains("nothing can be said"), "{:?}", report.warnings);

    // In f32 an error of one part in a thousand fails.
    let mut wrong = submission(&case, None, Profile::F32).unwrap().unwrap();
    crate::common::put(&mut wrong, "out.weight", |weight| weight * 1.001);
    let report = check(&case, Some(&wrong), Options::default()).unwrap();
    assert_eq!(report.verdict, Verdict::Fail, "{report}");
}

#[test]
fn what_has_no_length_or_has_lost_it_is_refused() {
    let refused = |case: &TensorFile| emit(case).unwrap_err().to_string();
    let error = refused(&layer("unmerge"));
    assert!(error.contains("not possible from the merged weight alone"), "{error}");

    let mut zero = layer("forward");
    for name in ["in.weight", "in.lora_B"] {
        let zeros = zero.tensors[name].to_f64().unwrap() * 0.0;
        zero.tensors.insert(name.into(), oracle::Tensor::f64(&zeros));
    }
    let error = refused(&zero);
    assert!(error.contains("the norm of row 0"), "{error}");
}

/// A factor common to W and B, and so to V, changes neither y nor ∂L/∂x: m says how long a row is.
#[test]
fn only_the_direction_of_a_row_counts() {
    let case = layer("backward");
    let mut longer = case.clone();
    for name in ["in.weight", "in.lora_B"] {
        let more = case.tensors[name].to_f64().unwrap() * 4.0;
        longer.tensors.insert(name.into(), oracle::Tensor::f64(&more));
    }
    let [before, after] = [&case, &longer].map(|case| emit(case).unwrap().tensors);
    let number = |name: &str| [&before, &after].map(|made| made[name].to_f64().unwrap());
    // A power of two: every bit is the same, but where x Wᵀ itself is added and taken off.
    let [a, b] = number("out.y");
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-13 * a.abs().max(1.0)), "{a} {b}");
    let [a, b] = number("out.grad_lora_B");
    assert!(a.iter().zip(&b).all(|(a, b)| (a - 4.0 * b).abs() <= 1e-13 * a.abs().max(1.0)));
}
