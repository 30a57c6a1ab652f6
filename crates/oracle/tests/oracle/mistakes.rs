//! Known mistakes fail in f32, and the checker names them.

use oracle::{Options, TensorFile, Verdict, check};

use crate::common::{emitted, file, in_f32, layer, matrix, put, step, text, vector, with_mask};

/// The case, what somebody computed in its place, and what is said about it.
pub fn explained(case: &TensorFile, computed: &TensorFile, first: &str, looks_like: &str) {
    let case = emitted(case);
    let mut computed = in_f32(&emitted(computed));
    // Only what the case asks for.
    computed.tensors.retain(|name, _| case.tensors.contains_key(name));
    submitted(&case, &computed, first, looks_like);
}

pub fn submitted(case: &TensorFile, computed: &TensorFile, first: &str, looks_like: &str) {
    let report = check(case, Some(computed), Options::default()).unwrap();
    assert_eq!(report.verdict, Verdict::Fail, "{looks_like}");
    assert_eq!(report.divergence().unwrap().tensor, first, "{report}");
    let hypothesis = report.hypothesis.clone().unwrap_or_default();
    assert!(hypothesis.contains(looks_like), "{looks_like}: {report}");
}

#[test]
fn the_scale() {
    for op in ["forward", "backward", "merge", "unmerge"] {
        let first = if op.ends_with("merge") { "weight" } else { "y" };
        let of = |alpha: f64, scaling: &str| {
            layer("lora", op, &format!(r#""params":{{"alpha":{alpha},"scaling":"{scaling}"}}"#))
        };
        // r = 2
        explained(&of(5.0, "alpha_over_r"), &of(10.0, "alpha_over_r"), first, "mlx-vlm #845");
        explained(&of(5.0, "rslora"), &of(5.0, "alpha_over_r"), first, "vLLM #10798");
        explained(&of(5.0, "alpha_over_r"), &of(5.0, "rslora"), first, "α/√r in the place");
        explained(&of(5.0, "alpha_over_r"), &of(12.5, "alpha_over_r"), first, "s applied twice");
        explained(&of(5.0, "alpha_over_r"), &of(2.0, "alpha_over_r"), first, "s not applied");
        explained(&of(5.0, "alpha_over_r"), &of(0.0, "alpha_over_r"), first, "left out");
        explained(&of(5.0, "alpha_over_r"), &of(-5.0, "alpha_over_r"), first, "wrong sign");
    }
    // A gradient alone is one number in one case, its factor. That is said, and a name only where it is far from right.
    let case = emitted(&layer("lora", "backward", r#""params":{"alpha":5}"#));
    for name in ["grad_lora_A", "grad_lora_B"] {
        for (factor, text) in [(2.5, "2.5000 times"), (0.5, "0.5000 times"), (-1.0, "sign")] {
            let mut submission = in_f32(&case);
            put(&mut submission, &format!("out.{name}"), |grad| grad * factor);
            submitted(&case, &submission, name, text);
        }
    }
}

#[test]
fn the_frozen_term() {
    let bias = |mut file: TensorFile, factor: f64| {
        let bias = vector(4, 20) * factor;
        file.tensors.insert("in.bias".into(), oracle::Tensor::f64(&bias));
        file
    };
    let case = || layer("lora", "backward", r#""params":{"alpha":5}"#);
    let mut scaled = bias(case(), 2.5);
    scaled.tensors.insert("in.weight".into(), oracle::Tensor::f64(&(matrix(4, 5, 1) * 2.5)));
    explained(&bias(case(), 1.0), &scaled, "y", "candle-lora");
    explained(&bias(case(), 1.0), &bias(case(), 0.0), "y", "the bias left out");

    let square = |rest: &str| {
        let tensors = [
            ("in.weight", matrix(4, 4, 1)),
            ("in.lora_A", matrix(2, 4, 2)),
            ("in.lora_B", matrix(4, 2, 3)),
            ("in.x", matrix(3, 4, 4)),
        ];
        file(&text("lora", "forward", rest), &tensors)
    };
    explained(&square(""), &square(r#""params":{"fan_in_fan_out":true}"#), "y", "fan_in_fan_out");
}

#[test]
fn dropout() {
    for method in ["lora", "lora-fa", "vera", "lora-plus"] {
        let masked = || with_mask(layer(method, "backward", r#""params":{"dropout_p":0.25}"#));
        explained(&masked(), &layer(method, "backward", ""), "y", "mask not applied");
        // 3/4 of A or of α is what is missing where kept values are not divided by 3/4.
        let less = r#""params":{"dropout_p":0.25,"alpha":6}"#;
        let mut undivided = with_mask(layer(method, "backward", less));
        if method == "vera" {
            undivided = masked();
            let a = matrix(2, 5, 2) * 0.75;
            undivided.tensors.insert("in.vera_A".into(), oracle::Tensor::f64(&a));
        }
        explained(&masked(), &undivided, "y", "not divided by 1 − p");
    }
}

#[test]
fn vera() {
    let with = |name: &str, factor: f64| {
        let mut case = layer("vera", "forward", "");
        let size = if name == "in.vera_lambda_b" { (4, 5) } else { (2, 4) };
        let tensor = vector(size.0, size.1);
        let tensor = if factor == 0.0 { tensor.mapv(|_| 1.0) } else { tensor * factor };
        case.tensors.insert(name.into(), oracle::Tensor::f64(&tensor));
        case
    };
    let case = layer("vera", "forward", "");
    explained(&case, &with("in.vera_lambda_b", 4.0), "y", "MyTransformers");
    explained(&case, &with("in.vera_lambda_b", 0.0), "y", "λ_b not applied");
    explained(&case, &with("in.vera_lambda_d", 0.0), "y", "λ_d not applied");
}

#[test]
fn optimisers() {
    let adamw = |more: &str| {
        format!(
            r#""params":{{"start":3,"optimizer":{{"name":"adamw","lr":0.25,"weight_decay":0.125,"eps":0.5{more}}}}}"#
        )
    };
    let case = || step("lora", &adamw(""), true);
    explained(
        &case(),
        &step("lora", &adamw(r#","variant":"hf""#), true),
        "lora_A",
        "variant hf where torch is asked for",
    );
    let hf = || step("lora", &adamw(r#","variant":"hf""#), true);
    explained(&hf(), &case(), "lora_A", "variant torch where hf is asked for");
    let no_decay = adamw("").replace("0.125", "0");
    explained(&case(), &step("lora", &no_decay, true), "lora_A", "axolotl #4010");
    let restarted = adamw("").replace("\"start\":3", "\"start\":0");
    explained(&case(), &step("lora", &restarted, true), "lora_A", "t starts from 0 again");
    let late = adamw("").replace("\"start\":3", "\"start\":4");
    explained(&case(), &step("lora", &late, true), "lora_A", "t one too large");
    let other_decay = adamw("").replace("0.125", "0.01");
    explained(&case(), &step("lora", &other_decay, true), "lora_A", "PyTorch's 0.01");
    // The moments are wrong before the parameter that they move.
    explained(&case(), &step("lora", &adamw(""), false), "exp_avg.lora_A", "moments taken as 0");

    for name in ["sgd", "adamw"] {
        let ratio = |ratio: &str| {
            step(
                "lora-plus",
                &format!(r#""params":{{"optimizer":{{"name":"{name}","lr":0.25{ratio}}}}}"#),
                false,
            )
        };
        explained(&ratio(""), &ratio(r#","lr_ratio":1"#), "lora_B", "ratio not applied");
        explained(&ratio(r#","lr_ratio":4"#), &ratio(""), "lora_B", "16 in its place");
    }
}

#[test]
fn lora_fa() {
    let variant = |variant: &str, alpha: f64| {
        let rest = format!(
            r#""params":{{"variant":"{variant}","alpha":{alpha},"optimizer":{{"lr":0.25}}}}"#
        );
        let mut case = step("lora-fa", &rest, false);
        case.tensors.insert("in.lora_A".into(), oracle::Tensor::f64(&matrix(2, 5, 2)));
        case
    };
    explained(&variant("projected", 5.0), &variant("plain", 5.0), "lora_B", "plain gradient");
    explained(&variant("projected", 5.0), &variant("projected", 2.0), "lora_B", "PEFT #3315");
}

#[test]
fn delta_lora() {
    let of = |start: u64, params: &str| {
        let rest =
            format!(r#""params":{{"alpha":5,"start":{start},"optimizer":{{"lr":0.25}}{params}}}"#);
        step("delta-lora", &rest, false)
    };
    let case = || of(3, r#","start_step":3"#);
    explained(&case(), &of(3, r#","start_step":4"#), "weight", "one update late");
    explained(&of(2, r#","start_step":3"#), &case(), "weight", "one update early");
    explained(&of(9, ""), &of(9, r#","include_scale":false"#), "weight", "include_scale");
    explained(&of(9, r#","lambda":0.5"#), &of(9, ""), "weight", "2 in its place");

    // (B⁺ − B)(A⁺ − A): η² s λ g_B g_A
    let case = emitted(&case());
    let tensor = |name: &str| {
        case.tensors[name].to_f64().unwrap().into_dimensionality::<ndarray::Ix2>().unwrap()
    };
    let moved = tensor("in.grad_lora_B").dot(&tensor("in.grad_lora_A")) * (0.25 * 0.25 * 2.0 * 2.5);
    let mut submission = in_f32(&case);
    put(&mut submission, "out.weight", |_| (tensor("in.weight") + moved).into_dyn());
    submitted(&case, &submission, "weight", "(B⁺ − B)(A⁺ − A)");
}

#[test]
fn other_tensors() {
    let tensors = [
        ("in.weight", matrix(4, 4, 1)),
        ("in.lora_A", matrix(2, 4, 2)),
        ("in.lora_B", matrix(4, 2, 3)),
        ("in.x", matrix(4, 4, 4)),
        ("in.grad_y", matrix(4, 4, 5)),
    ];
    let case = emitted(&file(&text("lora", "backward", ""), &tensors));
    let mut submission = in_f32(&case);
    let (y, grad_x) =
        (submission.tensors["out.y"].clone(), submission.tensors["out.grad_x"].clone());
    submission.tensors.insert("out.y".into(), grad_x);
    submission.tensors.insert("out.grad_x".into(), y);
    submitted(&case, &submission, "y", "y: holds grad_x; grad_x: holds y");

    let mut submission = in_f32(&case);
    put(&mut submission, "out.grad_x", |grad| grad.t().as_standard_layout().to_owned());
    submitted(&case, &submission, "grad_x", "grad_x: transposed");
}
