//! Two Delta-LoRA layers in a network against torch's autograd in f64: 24 updates, losses, A, B and W.
//!
//! The expected numbers are in golden/delta_lora_f64.json; tests/parity/delta_lora.py made them from the paper's
//! algorithm, without a look at our formulas: gradients by autograd, optimisers of torch.

use adapter::{AdamVariant, AdamW, Adapter, Group, Optimizer, Scope, Sgd, cross_entropy};
use delta_lora::{DeltaLora, Settings};
use lora::{Lora, Scaling};
use lowrank_tests::{golden_json, matrix};
use ndarray::{ArcArray2, Array2};
use serde_json::Value;

/// Absolute: losses and entries are of order 1. The script derives it for each case: roundings, what Adam's division makes
/// of them, how far a nudge grows over the run, times the number of updates.
const TOLERANCE: f64 = 1e-10;

/// logits = layer2(tanh(layer1(x))), as at the top of the script.
struct Network {
    x: ArcArray2<f64>,
    targets: Vec<Option<u32>>,
    weights: [Array2<f64>; 2],
    layers: [DeltaLora<f64>; 2],
}

impl Network {
    fn new(settings: &Value, given: &Value) -> Self {
        let rank = settings["rank"].as_u64().unwrap() as usize;
        let alpha = settings["alpha"].as_f64().unwrap();
        let scale = Scaling::AlphaOverR.scale(alpha, rank).unwrap();
        let moves = Settings {
            lambda: settings["lambda"].as_f64().unwrap(),
            start_step: settings["start_step"].as_u64().unwrap(),
            include_scale: settings["include_scale"].as_bool().unwrap(),
        };
        Self {
            x: matrix(&given["x"]).into_shared(),
            targets: serde_json::from_value(given["targets"].clone()).unwrap(),
            weights: ["weight_1", "weight_2"].map(|name| matrix(&given[name])),
            layers: [["a_1", "b_1"], ["a_2", "b_2"]].map(|names| {
                let [a, b] = names.map(|name| matrix(&given[name]));
                DeltaLora::new(Lora::new(a, b, scale).unwrap(), moves).unwrap()
            }),
        }
    }

    /// The loss, and with an optimiser an update of both layers.
    fn run(&mut self, optimizer: Option<&mut dyn Optimizer<f64>>) -> f64 {
        let ([first, second], [w1, w2]) = (&mut self.layers, &mut self.weights);
        let (hidden, saved1) = first.forward(w1.view(), &self.x, None).unwrap();
        let tanh = hidden.mapv(f64::tanh).into_shared();
        let (logits, saved2) = second.forward(w2.view(), &tanh, None).unwrap();
        let tokens = self.targets.len() as f64;
        // The function returns the sum; its gradient is that of the mean.
        let (sum, grad_logits) = cross_entropy(logits, &self.targets, tokens).unwrap();
        if let Some(optimizer) = optimizer {
            let (grad_tanh, grads2) =
                second.backward(w2.view(), &saved2, grad_logits.view()).unwrap();
            let grad_hidden = grad_tanh * tanh.mapv(|tanh| 1.0 - tanh * tanh);
            let (_, grads1) = first.backward(w1.view(), &saved1, grad_hidden.view()).unwrap();
            first.step(w1, &grads1, &mut Scope { prefix: "1", optimizer }).unwrap();
            second.step(w2, &grads2, &mut Scope { prefix: "2", optimizer }).unwrap();
        }
        sum / tokens
    }

    fn check(&self, name: &str, states: &Value) {
        for (i, (layer, weight)) in self.layers.iter().zip(&self.weights).enumerate() {
            for (key, got) in [("a", &layer.lora.a), ("b", &layer.lora.b), ("weight", weight)] {
                let want = matrix(&states[i][key]);
                assert_eq!(got.dim(), want.dim(), "{name} {key}");
                for (got, want) in got.iter().zip(&want) {
                    let what = format!("{name} layer {} {key}: got {got}, autograd {want}", i + 1);
                    assert!((got - want).abs() <= TOLERANCE, "{what}");
                }
            }
        }
    }
}

fn optimizer(settings: &Value) -> Box<dyn Optimizer<f64>> {
    let group = Group {
        lr: settings["lr"].as_f64().unwrap(),
        weight_decay: settings["weight_decay"].as_f64().unwrap(),
    };
    match settings["optimizer"].as_str().unwrap() {
        "sgd" => Box::new(Sgd { group }),
        "adamw" => {
            let betas = serde_json::from_value(settings["betas"].clone()).unwrap();
            let eps = settings["eps"].as_f64().unwrap();
            Box::new(AdamW { betas, eps, ..AdamW::new(group, AdamVariant::Torch) })
        }
        other => panic!("{other}"),
    }
}

#[test]
fn agrees_with_autograd() {
    let golden = golden_json("delta_lora_f64.json");
    let updates = golden["updates"].as_u64().unwrap();
    let cases = golden["cases"].as_object().unwrap();
    assert!(cases.len() >= 10 && updates >= 20);
    for (name, case) in cases {
        let (settings, losses) = (&case["settings"], case["losses"].as_array().unwrap());
        let mut network = Network::new(settings, &case["given"]);
        let mut optimizer = optimizer(settings);
        assert_eq!(losses.len() as u64, updates + 1);
        for (t, want) in (1..).zip(losses) {
            let loss = network.run((t <= updates).then_some(&mut *optimizer));
            let want = want.as_f64().unwrap();
            assert!((loss - want).abs() <= TOLERANCE, "{name} loss {t}: {loss}, autograd {want}");
            if let Some(state) = case["states"].get(t.to_string()) {
                network.check(&format!("{name} update {t}"), state);
            }
        }
        assert_eq!(case["states"].as_object().unwrap().len(), 3, "{name}");
    }
}
