//! `inspect`, `extract`, `resize` and `combine` as a user meets them. Their numbers are held to numpy's and PEFT's in the crate
//! `inspect`.

use std::path::Path;

use serde_json::Value;

use crate::{error, lines, lowrank, path};

/// A folder of the crate's golden files.
fn golden(name: &str) -> String {
    path(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../inspect/tests/golden"), name)
}

fn text(arguments: &[&str]) -> String {
    let output = lowrank(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_adapter_is_shown_to_people_and_to_machines() {
    let [one, two, base] = ["one", "two", "base"].map(golden);
    let shown = text(&["inspect", &one]);
    assert!(shown.contains("LoRA, 6 modules, stored as f32, for base"), "{shown}");
    assert!(shown.contains("ΔW = 0 in 1 of 6 modules"), "{shown}");
    assert!(shown.contains("4/3/2") && !shown.contains("bf16 loses"), "{shown}");
    let shown = text(&["inspect", &one, &two, "--model", &base]);
    assert!(
        shown.contains("bf16 loses") && shown.contains("merged in bf16, rounding would"),
        "{shown}"
    );
    assert!(shown.contains("φ out"), "{shown}");

    let directory = tempfile::tempdir().unwrap();
    let svg = path(directory.path(), "spectrum.svg");
    let lines = lines(&lowrank(&["inspect", &one, &two, "--format", "json", "--svg", &svg]));
    // 6 modules and the sum of each, and the 4 in common.
    assert_eq!(lines.len(), 2 * 7 + 4);
    assert_eq!(lines[4]["module"], "model.layers.1.self_attn.q_proj");
    assert_eq!(lines[4]["singular_values"].as_array().unwrap().len(), 4);
    assert_eq!(lines[4]["numerical_rank"]["bf16"], 2);
    assert_eq!((&lines[6]["dead"], &lines[6]["kind"]), (&Value::from(1), &Value::from("LoRA")));
    assert_eq!(lines[14]["cosine"], Value::Null, "the first one is 0 there");
    assert!(
        lines[15]["phi_output"].as_f64().unwrap()
            > lines[15]["random_phi_output"].as_f64().unwrap()
    );
    let drawn = std::fs::read_to_string(svg).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.contains("Singular values of ΔW"), "{drawn}");
}

/// Trained, merged, extracted again: the same directions, the same text. And so with a sum and a resized one.
#[test]
fn what_is_made_anew_does_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let name = |name: &str| path(directory.path(), name);
    let [base, adapter, merged, extracted] = ["base", "adapter", "merged", "extracted"].map(name);
    text(&["finetune", "--method", "full", "--steps", "0", "--format", "json", "--out", &base]);
    text(&["finetune", "--steps", "40", "--rank", "4", "--format", "json", "--out", &adapter]);
    text(&["merge", "--model", &base, "--adapter", &adapter, "--out", &merged]);
    let done = lines(&lowrank(&[
        "extract", "--base", &base, "--tuned", &merged, "--rank", "4", "--out", &extracted,
        "--format", "json",
    ]));
    // Three layers of seven projections, of which two had an adapter.
    assert_eq!(done.len(), 22);
    let kept: Vec<&Value> = done[..21].iter().filter(|line| line["rank"] == 4).collect();
    assert_eq!(kept.len(), 6);
    let share = done[21]["error"].as_f64().unwrap() / done[21]["norm"].as_f64().unwrap();
    assert!(share < 1e-5, "{share}: the merged weights were rounded to f32");
    let alike = lines(&lowrank(&["inspect", &adapter, &extracted, "--format", "json"]));
    for line in &alike[alike.len() - 6..] {
        for value in ["cosine", "phi_output", "phi_input"] {
            assert!((line[value].as_f64().unwrap() - 1.0).abs() < 1e-6, "{line}");
        }
    }

    let generate =
        |adapter: &str| text(&["generate", "--prompt", "31415926>", "--adapter", adapter]);
    let [halves, resized] = ["halves", "resized"].map(name);
    let half = format!("{adapter}:0.5");
    let said = text(&["combine", &half, &half, "--out", &halves]);
    assert!(said.contains("as f32 into"), "{said}");
    let said =
        text(&["resize", &halves, "--energy", "0.999999", "--out", &resized, "--dtype", "f64"]);
    assert!(said.contains("as f64 into"), "{said}");
    for folder in [&extracted, &halves, &resized] {
        assert_eq!(generate(folder), generate(&adapter), "{folder}");
    }
    // Twice the same directions: of rank 8 by its shapes, and never more than 4 in fact.
    let ranks = lines(&lowrank(&["inspect", &halves, "--format", "json"]));
    assert!(ranks[..6].iter().all(|line| line["rank"] == 8), "{ranks:?}");
    let ranks = lines(&lowrank(&["inspect", &resized, "--format", "json"]));
    assert!(ranks[..6].iter().all(|line| line["rank"].as_u64().unwrap() <= 4), "{ranks:?}");
}

/// More modules than a screen has lines for: one row for each kind, or all.
#[test]
fn many_modules_are_summed_up() {
    let directory = tempfile::tempdir().unwrap();
    let adapter = path(directory.path(), "adapter");
    let all = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj";
    let run = ["finetune", "--steps", "1", "--rank", "2", "--targets", all, "--format", "json"];
    text(&[&run[..], &["--out", &adapter]].concat());
    let shown = text(&["inspect", &adapter]);
    assert!(shown.contains("down_proj ×3") && shown.contains("--all shows each module"), "{shown}");
    assert!(!shown.contains("layers.0"), "{shown}");
    let shown = text(&["inspect", &adapter, "--all"]);
    assert!(shown.contains("model.layers.2.mlp.down_proj") && !shown.contains('×'), "{shown}");
}

#[test]
fn bad_input_is_one_clear_error_and_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let out = path(directory.path(), "out");
    let [one, vectors, dora, base] = ["one", "vectors", "dora", "base"].map(golden);
    let says = |arguments: &[&str], expected: &str| {
        let text = error(arguments);
        assert!(text.contains(expected), "{arguments:?}: {text}");
        assert!(!Path::new(&out).exists(), "{arguments:?}");
    };
    says(&["inspect", &base], "adapter_config.json");
    says(
        &["inspect", &vectors],
        "a VeRA adapter does not say how wide its weights are: give --model",
    );
    says(&["inspect", &dora], "a DoRA adapter's ΔW depends on W: give --model");
    says(&["inspect", &one, &dora, "--model", &base], "depends on W and is not of low rank");
    says(&["resize", &one, "--out", &out], "give --rank or --energy");
    says(&["resize", &one, "--rank", "0", "--out", &out], "rank is 0: a rank is at least 1");
    says(&["resize", &one, "--energy", "1.1", "--out", &out], "energy is 1.1: it is a share");
    says(&["resize", &dora, "--rank", "1", "--out", &out], "merge it into its model");
    says(&["combine", &format!("{one}:inf"), "--out", &out], "is inf: it must be finite");
    says(&["combine", &format!("{one}:0"), "--out", &out], "ΔW is 0 everywhere");
    says(&["resize", &one, "--rank", "1", "--out", &base], "something is there already");
    says(
        &["extract", "--base", &base, "--tuned", &base, "--rank", "1", "--out", &out],
        "ΔW is 0 everywhere",
    );
    says(
        &["extract", "--base", &base, "--tuned", &one, "--rank", "1", "--out", &out],
        "this is an adapter",
    );
}
