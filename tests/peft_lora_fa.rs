//! LoRA-FA against PEFT's in f64: output, both gradients, ΔW, merged weight, three steps of three optimisers. Two layers of
//! different rank and α take each step together.
//!
//! The expected numbers are in golden/lora_fa_f64.json; tests/parity/lora_fa.py made them. The projected gradients there
//! are exact fractions, rounded once.

use std::sync::Arc;

use adapter::{AdamVariant, AdamW, Adapter, Dropout, Group, Scope};
use lora::Scaling;
use lora_fa::{LoraFa, Variant};
use lowrank_tests::{assert_close, golden_json, matrix};
use ndarray::{ArcArray2, Array2};
use serde_json::Value;

/// Relative to a tensor's largest entry: sums of at most nine terms, three steps, and a solve with A Aᵀ whose condition
/// number the script keeps below a thousand: 2⁻⁵³ times ten thousand.
const TOLERANCE: f64 = 1e-12;

struct Layer {
    weight: Array2<f64>,
    adapter: LoraFa<f64>,
    x: ArcArray2<f64>,
    grad_y: Array2<f64>,
    dropout: Option<Arc<Dropout>>,
}

impl Layer {
    fn new(layer: &Value, variant: Variant) -> Self {
        let (settings, given) = (&layer["settings"], &layer["given"]);
        let number = |name: &str| settings[name].as_f64().expect(name);
        let scale = Scaling::AlphaOverR.scale(number("alpha"), number("rank") as usize).unwrap();
        assert_eq!(scale, number("scale"));
        let mask = given.get("mask").map(|mask| matrix(mask).mapv(|kept| kept as u8));
        Self {
            weight: matrix(&given["weight"]),
            adapter: LoraFa::new(matrix(&given["a"]), matrix(&given["b"]), scale, variant).unwrap(),
            x: matrix(&given["x"]).into_shared(),
            grad_y: matrix(&given["grad_y"]),
            dropout: mask.map(|mask| Dropout::new(mask, number("dropout")).unwrap()),
        }
    }

    fn run(&self) -> (Array2<f64>, Array2<f64>, lora_fa::Grads<f64>) {
        let weight = self.weight.view();
        let (y, saved) = self.adapter.forward(weight, &self.x, self.dropout.as_ref()).unwrap();
        let (grad_x, grads) = self.adapter.backward(weight, &saved, self.grad_y.view()).unwrap();
        (y, grad_x, grads)
    }
}

/// Every layer of every case, with its name.
fn layers(golden: &Value) -> Vec<(String, &Value)> {
    let cases = golden["cases"].as_object().unwrap();
    assert!(cases.len() >= 4);
    let mut layers = Vec::new();
    for (name, case) in cases {
        for (index, layer) in case["layers"].as_array().unwrap().iter().enumerate() {
            layers.push((format!("{name} layer {index}"), layer));
        }
    }
    layers
}

#[test]
fn a_layer_agrees_with_peft() {
    let golden = golden_json("lora_fa_f64.json");
    for (name, expected) in layers(&golden) {
        let layer = Layer::new(expected, Variant::Projected);
        let (y, grad_x, grads) = layer.run();
        let mut merged = layer.weight.clone();
        layer.adapter.merge(&mut merged).unwrap();
        for (tensor, got) in [
            ("y", &y),
            ("grad_x", &grad_x),
            ("grad_b", &grads.b),
            ("projected", &layer.adapter.direction(grads.b.view()).unwrap()),
            ("delta_weight", &layer.adapter.delta_weight(layer.weight.view()).unwrap()),
            ("merged", &merged),
        ] {
            let want = matrix(&expected["expected"][tensor]);
            assert_close(&format!("{name} {tensor}"), got, &want, TOLERANCE);
        }
    }
}

/// PEFT adds δ = 1e-8 to the diagonal of A Aᵀ. In the basis of its eigenvectors that divides each component of ĝ by
/// (μ + δ)/μ, so that ĝ loses a fraction of at most δ/(μ_min + δ): eight digits are left, not sixteen, and that is all
/// that sets us apart.
#[test]
fn what_peft_adds_to_the_diagonal_moves_its_result() {
    let golden = golden_json("lora_fa_f64.json");
    let norm = |matrix: &Array2<f64>| matrix.iter().map(|v| v * v).sum::<f64>().sqrt();
    for (name, expected) in layers(&golden) {
        let layer = Layer::new(expected, Variant::Projected);
        let ours = layer.adapter.direction(layer.run().2.b.view()).unwrap();
        let shipped = &expected["as_shipped"];
        let moved = norm(&(&matrix(&shipped["projected"]) - &ours)) / norm(&ours);
        let bound = shipped["bound"].as_f64().unwrap();
        assert!(moved <= bound + TOLERANCE, "{name}: {moved:e}, bound {bound:e}");
        // Another thousand times our tolerance: the difference is PEFT's.
        assert!(moved > 1000.0 * TOLERANCE, "{name}: {moved:e}");
    }
}

#[test]
fn three_steps_agree_with_peft() {
    let golden = golden_json("lora_fa_f64.json");
    for (name, case) in golden["cases"].as_object().unwrap() {
        for (key, variant, adam) in [
            ("adamw_torch", Variant::Plain, AdamVariant::Torch),
            ("adamw_hf", Variant::Plain, AdamVariant::Hf),
            ("lorafa", Variant::Projected, AdamVariant::Hf),
        ] {
            let settings = &case["settings"];
            let group = Group {
                lr: settings["lr"].as_f64().unwrap(),
                weight_decay: settings["weight_decay"].as_f64().unwrap(),
            };
            let mut adamw = AdamW::new(group, adam);
            adamw.betas = serde_json::from_value(settings["betas"].clone()).unwrap();
            // null: the variant's own, which is what `new` sets.
            adamw.eps = settings["eps"].as_f64().unwrap_or(adamw.eps);
            let expected = case["layers"].as_array().unwrap();
            let mut layers: Vec<_> =
                expected.iter().map(|layer| Layer::new(layer, variant)).collect();
            let state = |layer: usize, step: usize| matrix(&expected[layer][key][step]);
            for step in 0..3 {
                for (index, layer) in layers.iter_mut().enumerate() {
                    let (_, _, grads) = layer.run();
                    let mut scope = Scope { prefix: &index.to_string(), optimizer: &mut adamw };
                    layer.adapter.step(&mut layer.weight, &grads, &mut scope).unwrap();
                    let name = format!("{name} {key} layer {index} step {step}");
                    assert_close(&name, &layer.adapter.lora().b, &state(index, step), TOLERANCE);
                }
            }
        }
    }
}
