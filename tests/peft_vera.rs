//! VeRA against PEFT's: the projections bit for bit, and in f64 the output, all gradients, ΔW, merged weight and three
//! steps of both AdamWs, of layers that share one A and B.
//!
//! The expected numbers are in golden/vera_f64.json; tests/parity/vera.py made them.

use std::fmt::Write;
use std::sync::Arc;

use adapter::{AdamVariant, AdamW, Adapter, Dropout, Group, Scope};
use lowrank_tests::{assert_close, golden_json, matrix, vector};
use ndarray::{ArcArray2, Array2, ArrayView2};
use serde_json::Value;
use sha2::{Digest, Sha256};
use vera::{Grads, Projections, Vera};

/// Relative to a tensor's largest entry: sums of at most nine terms, three steps; 2⁻⁵³ times a few thousand.
const TOLERANCE: f64 = 1e-12;

/// SHA-256 of the f32 bytes, little-endian, row by row.
fn digest(matrix: ArrayView2<'_, f32>) -> String {
    let bytes: Vec<u8> = matrix.iter().flat_map(|value| value.to_le_bytes()).collect();
    Sha256::digest(&bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes it");
        text
    })
}

#[test]
fn the_projections_are_those_of_peft_bit_for_bit() {
    let golden = golden_json("vera_f64.json");
    let (mut largest, mut keys) = (0, Vec::new());
    for expected in golden["projections"].as_array().unwrap() {
        let number = |name: &str| expected[name].as_u64().expect(name);
        let [rank, out, inputs] = ["rank", "out", "in"].map(|name| number(name) as usize);
        let drawn = Projections::<f32>::peft(number("key"), rank, [out, inputs]).unwrap();
        assert_eq!(digest(drawn.a()), expected["a"].as_str().unwrap(), "A of {expected}");
        assert_eq!(digest(drawn.b()), expected["b"].as_str().unwrap(), "B of {expected}");
        largest = largest.max(drawn.a().len());
        keys.push(number("key"));
    }
    assert!(largest >= 1 << 20 && keys.contains(&0) && keys.iter().any(|&key| key > 1 << 32));
}

struct Layer {
    weight: Array2<f64>,
    vera: Vera<f64>,
    x: ArcArray2<f64>,
    grad_y: Array2<f64>,
    dropout: Option<Arc<Dropout>>,
}

impl Layer {
    fn new(given: &Value, p: f64, projections: &Arc<Projections<f64>>) -> Self {
        let weight = matrix(&given["weight"]);
        let (b, d) = (vector(&given["lambda_b"]), vector(&given["lambda_d"]));
        let mask = given.get("mask").map(|mask| matrix(mask).mapv(|kept| kept as u8));
        assert_eq!(mask.is_some(), p > 0.0);
        Self {
            vera: Vera::new(b, d, weight.ncols(), projections.clone()).unwrap(),
            weight,
            x: matrix(&given["x"]).into_shared(),
            grad_y: matrix(&given["grad_y"]),
            dropout: mask.map(|mask| Dropout::new(mask, p).unwrap()),
        }
    }

    fn run(&self) -> (Array2<f64>, Array2<f64>, Grads<f64>) {
        let weight = self.weight.view();
        let (y, saved) = self.vera.forward(weight, &self.x, self.dropout.as_ref()).unwrap();
        let (grad_x, grads) = self.vera.backward(weight, &saved, self.grad_y.view()).unwrap();
        (y, grad_x, grads)
    }
}

/// The layers of a case, fresh, and what is expected of each.
fn layers(case: &Value) -> Vec<(Layer, &Value)> {
    let (a, b) = (matrix(&case["shared"]["a"]), matrix(&case["shared"]["b"]));
    let projections = Arc::new(Projections::new(a, b).unwrap());
    let p = case["settings"]["dropout"].as_f64().unwrap();
    let expected = case["layers"].as_array().unwrap();
    expected.iter().map(|layer| (Layer::new(&layer["given"], p, &projections), layer)).collect()
}

#[test]
fn layers_agree_with_peft() {
    let golden = golden_json("vera_f64.json");
    let cases = golden["cases"].as_object().unwrap();
    assert!(cases.len() >= 6);
    for (name, case) in cases {
        for (index, (layer, expected)) in layers(case).into_iter().enumerate() {
            let (y, grad_x, grads) = layer.run();
            let mut merged = layer.weight.clone();
            layer.vera.merge(&mut merged).unwrap();
            let expected = &expected["expected"];
            for (tensor, got) in [
                ("y", &y),
                ("grad_x", &grad_x),
                ("delta_weight", &layer.vera.delta_weight(layer.weight.view()).unwrap()),
                ("merged", &merged),
            ] {
                let name = format!("{name} layer {index} {tensor}");
                assert_close(&name, got, &matrix(&expected[tensor]), TOLERANCE);
            }
            for (tensor, got) in [("grad_b", &grads.lambda_b), ("grad_d", &grads.lambda_d)] {
                let name = format!("{name} layer {index} {tensor}");
                assert_close(&name, got, &vector(&expected[tensor]), TOLERANCE);
            }
        }
    }
}

#[test]
fn three_steps_agree_with_peft() {
    let golden = golden_json("vera_f64.json");
    for (name, case) in golden["cases"].as_object().unwrap() {
        for (key, variant) in [("adamw_torch", AdamVariant::Torch), ("adamw_hf", AdamVariant::Hf)] {
            let settings = &case["settings"];
            let group = Group {
                lr: settings["lr"].as_f64().unwrap(),
                weight_decay: settings["weight_decay"].as_f64().unwrap(),
            };
            let mut adamw = AdamW::new(group, variant);
            adamw.betas = serde_json::from_value(settings["betas"].clone()).unwrap();
            // null: the variant's own, which is what `new` sets.
            adamw.eps = settings["eps"].as_f64().unwrap_or(adamw.eps);
            for (index, (mut layer, expected)) in layers(case).into_iter().enumerate() {
                let states = expected[key].as_array().unwrap();
                assert_eq!(states.len(), 3);
                for (step, state) in states.iter().enumerate() {
                    let (_, _, grads) = layer.run();
                    let mut scope = Scope { prefix: &index.to_string(), optimizer: &mut adamw };
                    layer.vera.step(&mut layer.weight, &grads, &mut scope).unwrap();
                    for (tensor, got) in
                        [("lambda_b", &layer.vera.lambda_b), ("lambda_d", &layer.vera.lambda_d)]
                    {
                        let name = format!("{name} {key} layer {index} step {step} {tensor}");
                        assert_close(&name, got, &vector(&state[tensor]), TOLERANCE);
                    }
                }
            }
        }
    }
}
