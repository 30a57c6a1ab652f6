//! One DoRA layer against PEFT's in f64: start, output, gradients, merged weight, three steps of both AdamWs.
//!
//! The expected numbers are in golden/dora_f64.json; tests/parity/dora.py made them.

use std::sync::Arc;

use adapter::{AdamVariant, AdamW, Adapter, Dropout, Group};
use dora::{Dora, Grads};
use lora::{Lora, Scaling};
use lowrank_tests::{assert_close, golden_json, matrix, vector};
use ndarray::{ArcArray2, Array2};
use serde_json::Value;

/// Relative to a tensor's largest entry: sums of at most ten terms, norms and quotients of them, three steps; 2⁻⁵³ times a
/// few thousand.
const TOLERANCE: f64 = 1e-12;

struct Layer {
    weight: Array2<f64>,
    dora: Dora<f64>,
    x: ArcArray2<f64>,
    grad_y: Array2<f64>,
    dropout: Option<Arc<Dropout>>,
}

impl Layer {
    fn new(settings: &Value, given: &Value) -> Self {
        let number = |name: &str| settings[name].as_f64().expect(name);
        let rslora = settings["rslora"] == Value::Bool(true);
        let scaling = if rslora { Scaling::RsLora } else { Scaling::AlphaOverR };
        let scale = scaling.scale(number("alpha"), number("rank") as usize).unwrap();
        assert_eq!(scale, number("scale"));
        let lora = Lora::new(matrix(&given["a"]), matrix(&given["b"]), scale).unwrap();
        let mask = given.get("mask").map(|mask| matrix(mask).mapv(|kept| kept as u8));
        Self {
            weight: matrix(&given["weight"]),
            dora: Dora::new(lora, vector(&given["m"])).unwrap(),
            x: matrix(&given["x"]).into_shared(),
            grad_y: matrix(&given["grad_y"]),
            dropout: mask.map(|mask| Dropout::new(mask, number("dropout")).unwrap()),
        }
    }

    fn run(&self) -> (Array2<f64>, Array2<f64>, Grads<f64>) {
        let weight = self.weight.view();
        let (y, saved) = self.dora.forward(weight, &self.x, self.dropout.as_ref()).unwrap();
        let (grad_x, grads) = self.dora.backward(weight, &saved, self.grad_y.view()).unwrap();
        (y, grad_x, grads)
    }
}

#[test]
fn agrees_with_peft() {
    let golden = golden_json("dora_f64.json");
    let cases = golden["cases"].as_object().unwrap();
    assert!(cases.len() >= 9);
    for (name, case) in cases {
        let expected = &case["expected"];
        let layer = Layer::new(&case["settings"], &case["given"]);
        let weight = layer.weight.view();
        let (mut y, grad_x, grads) = layer.run();
        if let Some(bias) = case["given"].get("bias") {
            y += &vector(bias); // the layer, not the adapter, adds the bias
        }
        let norm = layer.dora.norm(weight).unwrap();
        let mut merged = layer.weight.clone();
        layer.dora.merge(&mut merged).unwrap();
        for (tensor, got) in [
            ("y", &y),
            ("grad_x", &grad_x),
            ("grad_a", &grads.lora.a),
            ("grad_b", &grads.lora.b),
            ("merged", &merged),
        ] {
            assert_close(&format!("{name} {tensor}"), got, &matrix(&expected[tensor]), TOLERANCE);
        }
        let mut unturned = layer.dora.lora.clone();
        unturned.b.fill(0.0); // as PEFT starts
        let start = Dora::init(weight, unturned).unwrap().magnitude;
        for (tensor, got) in [("start_m", &start), ("norm", &norm), ("grad_m", &grads.magnitude)] {
            assert_close(&format!("{name} {tensor}"), got, &vector(&expected[tensor]), TOLERANCE);
        }
        layer.dora.unmerge_with(&mut merged, norm.view()).unwrap();
        assert_close(&format!("{name} unmerged"), &merged, &layer.weight, TOLERANCE);
        for (key, variant) in [("adamw_torch", AdamVariant::Torch), ("adamw_hf", AdamVariant::Hf)] {
            check_steps(name, key, variant, case);
        }
    }
}

fn check_steps(name: &str, key: &str, variant: AdamVariant, case: &Value) {
    let settings = &case["settings"];
    let group = Group {
        lr: settings["lr"].as_f64().unwrap(),
        weight_decay: settings["weight_decay"].as_f64().unwrap(),
    };
    let mut adamw = AdamW::new(group, variant);
    adamw.betas = serde_json::from_value(settings["betas"].clone()).unwrap();
    // null: the variant's own, which is what `new` sets.
    adamw.eps = settings["eps"].as_f64().unwrap_or(adamw.eps);
    let mut layer = Layer::new(settings, &case["given"]);
    let states = case[key].as_array().unwrap();
    assert_eq!(states.len(), 3);
    for (step, state) in states.iter().enumerate() {
        let (_, _, grads) = layer.run();
        layer.dora.step(&mut layer.weight, &grads, &mut adamw).unwrap();
        let Dora { lora, magnitude } = &layer.dora;
        let what = format!("{name} {key} step {step}");
        assert_close(&format!("{what} A"), &lora.a, &matrix(&state["a"]), TOLERANCE);
        assert_close(&format!("{what} B"), &lora.b, &matrix(&state["b"]), TOLERANCE);
        assert_close(&format!("{what} m"), magnitude, &vector(&state["m"]), TOLERANCE);
    }
}
