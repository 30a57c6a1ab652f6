//! One LoRA layer against PEFT's in f64: output, gradients, ΔW, merged weight, three steps of both AdamWs.
//!
//! The expected numbers are in golden/lora_f64.json; tests/parity/lora_layer.py made them.

use std::sync::Arc;

use adapter::{AdamVariant, AdamW, Adapter, Dropout, Group};
use lora::{Lora, Scaling};
use lowrank_tests::{golden_json, matrix};
use ndarray::{Array1, Array2};
use serde_json::Value;

/// Relative to a tensor's largest entry: sums of at most ten terms, three steps; 2⁻⁵³ times a few thousand.
const TOLERANCE: f64 = 1e-12;

fn check(name: &str, got: &Array2<f64>, want: &Value) {
    let want = matrix(want);
    assert_eq!(got.dim(), want.dim(), "{name}");
    let largest = want.iter().fold(0.0, |max: f64, value| max.max(value.abs()));
    for (got, want) in got.iter().zip(&want) {
        assert!((got - want).abs() <= TOLERANCE * largest, "{name}: got {got}, PEFT {want}");
    }
}

struct Layer {
    weight: Array2<f64>,
    lora: Lora<f64>,
    x: ndarray::ArcArray2<f64>,
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
        let mask = given.get("mask").map(|mask| matrix(mask).mapv(|kept| kept as u8));
        Self {
            weight: matrix(&given["weight"]),
            lora: Lora::new(matrix(&given["a"]), matrix(&given["b"]), scale).unwrap(),
            x: matrix(&given["x"]).into_shared(),
            grad_y: matrix(&given["grad_y"]),
            dropout: mask.map(|mask| Dropout::new(mask, number("dropout")).unwrap()),
        }
    }

    fn run(&self) -> (Array2<f64>, Array2<f64>, lora::Grads<f64>) {
        let weight = self.weight.view();
        let (y, saved) = self.lora.forward(weight, &self.x, self.dropout.as_ref()).unwrap();
        let (grad_x, grads) = self.lora.backward(weight, &saved, self.grad_y.view()).unwrap();
        (y, grad_x, grads)
    }
}

#[test]
fn agrees_with_peft() {
    let golden = golden_json("lora_f64.json");
    let cases = golden["cases"].as_object().unwrap();
    assert!(cases.len() >= 9);
    for (name, case) in cases {
        let (settings, expected) = (&case["settings"], &case["expected"]);
        let layer = Layer::new(settings, &case["given"]);
        let (mut y, grad_x, grads) = layer.run();
        if let Some(bias) = case["given"].get("bias") {
            // The layer, not the adapter, adds the bias.
            let bias: Vec<f64> = serde_json::from_value(bias.clone()).unwrap();
            y += &Array1::from(bias);
        }
        let mut merged = layer.weight.clone();
        layer.lora.merge(&mut merged).unwrap();
        for (tensor, got) in [
            ("y", &y),
            ("grad_x", &grad_x),
            ("grad_a", &grads.a),
            ("grad_b", &grads.b),
            ("delta_weight", &layer.lora.delta_weight(layer.weight.view()).unwrap()),
            ("merged", &merged),
        ] {
            check(&format!("{name} {tensor}"), got, &expected[tensor]);
        }
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
        layer.lora.step(&mut layer.weight, &grads, &mut adamw).unwrap();
        check(&format!("{name} {key} step {step} A"), &layer.lora.a, &state["a"]);
        check(&format!("{name} {key} step {step} B"), &layer.lora.b, &state["b"]);
    }
}
