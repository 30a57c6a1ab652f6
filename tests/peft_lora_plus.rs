//! LoRA+ against PEFT's `create_loraplus_optimizer` in f64: which tensor gets which rate and decay, and three updates.
//!
//! The expected numbers are in golden/lora_plus_f64.json; tests/parity/lora_plus.py made them.

use adapter::{AdamVariant, AdamW, Adapter, Group, Optimizer};
use lora::Lora;
use lora_plus::{Groups, Kind, LoraPlus};
use lowrank_tests::{golden_json, matrix};
use ndarray::{Array1, Array2, Axis};
use serde_json::Value;

/// Relative to a tensor's largest entry: sums of at most ten terms, three steps; 2⁻⁵³ times a few thousand.
const TOLERANCE: f64 = 1e-12;

fn check(name: &str, got: &Array2<f64>, want: &Array2<f64>) {
    assert_eq!(got.dim(), want.dim(), "{name}");
    let largest = want.iter().fold(0.0, |max: f64, value| max.max(value.abs()));
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= TOLERANCE * largest, "{name}: got {got}, PEFT {want}");
    }
}

/// PEFT's (rate, decay) and ours, of each tensor of a setting.
fn compared(golden: &Value, setting: &str, embedding_lr: f64) -> Vec<(String, Group, Group)> {
    let number = |value: &Value, name: &str| value[name].as_f64().expect("a number");
    let base = &golden["base"];
    let base_group = Group { lr: number(base, "lr"), weight_decay: number(base, "weight_decay") };
    let groups = Groups { embedding_lr, ..Groups::new(number(base, "ratio")).unwrap() };
    let tensors = golden["groups"][setting].as_object().unwrap();
    assert_eq!(tensors.len(), 11);
    let compare = |(name, tensor): (&String, &Value)| {
        let kind = match tensor["kind"].as_str().unwrap() {
            "linear" => Kind::Linear,
            "embedding" => Kind::Embedding,
            "norm" => Kind::Norm,
            other => panic!("{other}"),
        };
        let dimensions = tensor["dimensions"].as_u64().unwrap() as usize;
        let peft = Group { lr: number(tensor, "lr"), weight_decay: number(tensor, "weight_decay") };
        (name.clone(), peft, groups.of(name, dimensions, kind, base_group))
    };
    tensors.iter().map(compare).collect()
}

/// The same rate and decay for all but one: PEFT looks for `nn.LayerNorm` by type, and so decays an RMSNorm. We decay no
/// norm.
#[test]
fn the_groups_are_those_of_peft() {
    let golden = golden_json("lora_plus_f64.json");
    for (setting, embedding_lr) in [("loraplus_weight_decay", 1e-6), ("embedding_lr", 0.125)] {
        for (name, peft, ours) in compared(&golden, setting, embedding_lr) {
            if name.contains("rms_norm") {
                assert_eq!((peft.lr, peft.weight_decay, ours.weight_decay), (ours.lr, 0.25, 0.0));
            } else {
                assert_eq!(ours, peft, "{setting}: {name}");
            }
        }
    }
}

/// `weight_decay=`, AdamW's own keyword, does nothing in PEFT: its groups override it with 0. Ours is applied.
#[test]
fn peft_ignores_weight_decay() {
    let compared = compared(&golden_json("lora_plus_f64.json"), "weight_decay", 1e-6);
    for (name, peft, ours) in &compared {
        assert_eq!((peft.weight_decay, peft.lr), (0.0, ours.lr), "{name}");
    }
    assert!(compared.iter().any(|(_, _, ours)| ours.weight_decay == 0.25));
}

#[test]
fn three_updates_agree_with_peft() {
    let golden = golden_json("lora_plus_f64.json");
    let cases = golden["cases"].as_object().unwrap();
    assert!(cases.len() >= 5);
    for (name, case) in cases {
        let (settings, given) = (&case["settings"], &case["given"]);
        let number = |name: &str| settings[name].as_f64().expect("a number");
        let lora = Lora::new(matrix(&given["a"]), matrix(&given["b"]), number("scale")).unwrap();
        let mut layer = LoraPlus { lora, groups: Groups::new(number("ratio")).unwrap() };
        let group = Group { lr: number("lr"), weight_decay: number("weight_decay") };
        let mut adamw = AdamW::new(group, AdamVariant::Torch);
        let mut weight = matrix(&given["weight"]);
        let (x, grad_y) = (matrix(&given["x"]).into_shared(), matrix(&given["grad_y"]));
        let vector = |values: &Value| -> Array1<f64> {
            serde_json::from_value::<Vec<f64>>(values.clone()).unwrap().into()
        };
        // The layer, not the adapter, has the bias.
        let mut bias = given.get("bias").map(vector);

        let states = case["states"].as_array().unwrap();
        assert_eq!(states.len(), 3);
        for (step, state) in states.iter().enumerate() {
            let (_, saved) = layer.forward(weight.view(), &x, None).unwrap();
            let (_, grads) = layer.backward(weight.view(), &saved, grad_y.view()).unwrap();
            layer.step(&mut weight, &grads, &mut adamw).unwrap();
            check(&format!("{name} step {step} A"), &layer.lora.a, &matrix(&state["a"]));
            check(&format!("{name} step {step} B"), &layer.lora.b, &matrix(&state["b"]));
            if let Some(bias) = &mut bias {
                let group = layer.groups.of("bias", 1, Kind::Linear, group);
                let (gradient, parameter) = (grad_y.sum_axis(Axis(0)), bias.view_mut().into_dyn());
                adamw.update("bias", parameter, gradient.view().into_dyn(), group).unwrap();
                let row = |vector: &Array1<f64>| vector.clone().insert_axis(Axis(0));
                check(
                    &format!("{name} step {step} bias"),
                    &row(bias),
                    &row(&vector(&state["bias"])),
                );
            }
        }
    }
}
