//! Mistakes of AdamW and of a trajectory's state, made here by hand or by another way through the program.

use ndarray::{ArrayD, Zip};
use oracle::{Tensor, TensorFile, emit};

use crate::common::{emitted, in_f32, layer, matrix, put, step};
use crate::mistakes::submitted;

/// p, m and v after the update, and 1 − β₁ᵗ and 1 − β₂ᵗ, to p after it.
type Formula = fn(f64, f64, f64, [f64; 2]) -> f64;

const LR: f64 = 0.25;
const EPS: f64 = 0.5;
/// 1 − η λ
const SHRINK: f64 = 1.0 - 0.25 * 0.125;

/// An update of LoRA by AdamW, number 4, and what a formula makes of it.
fn by_hand(variant: &str, t: f64, formula: Formula) -> (TensorFile, TensorFile) {
    let rest = format!(
        r#""params":{{"start":3,"optimizer":{{"name":"adamw","variant":"{variant}","lr":{LR},"weight_decay":0.125,"eps":{EPS}}}}}"#
    );
    let case = emitted(&step("lora", &rest, true));
    let biases = [0.9_f64, 0.999].map(|beta| 1.0 - beta.powf(t));
    let mut made = in_f32(&case);
    for name in ["lora_A", "lora_B"] {
        let read = |name: String| case.tensors[&name].to_f64().unwrap();
        let mut p = read(format!("in.{name}"));
        let [m, v] = ["exp_avg", "exp_avg_sq"].map(|kind| read(format!("out.{kind}.{name}")));
        Zip::from(&mut p).and(&m).and(&v).for_each(|p, &m, &v| *p = formula(*p, m, v, biases));
        put(&mut made, &format!("out.{name}"), |_| p);
    }
    (case, made)
}

#[test]
fn adamw() {
    let mistakes: [(&str, f64, Formula, &str); 7] = [
        (
            "torch",
            4.0,
            |p, m, v, [b, c]| SHRINK * p - LR * (m / b) / (v / c + EPS).sqrt(),
            "√(v + ε)",
        ),
        (
            "hf",
            4.0,
            |p, m, v, [b, c]| SHRINK * (p - LR * c.sqrt() / b * m / (v + EPS).sqrt()),
            "√(v + ε)",
        ),
        ("torch", 4.0, |p, m, v, [_, c]| SHRINK * p - LR * m / ((v / c).sqrt() + EPS), "1 − β₁ᵗ"),
        ("torch", 4.0, |p, m, v, [b, _]| SHRINK * p - LR * (m / b) / (v.sqrt() + EPS), "1 − β₂ᵗ"),
        ("hf", 4.0, |p, m, v, [b, _]| SHRINK * (p - LR / b * m / (v.sqrt() + EPS)), "1 − β₂ᵗ"),
        (
            "torch",
            3.0,
            |p, m, v, [b, c]| SHRINK * p - LR * (m / b) / ((v / c).sqrt() + EPS),
            "t one too small",
        ),
        (
            "hf",
            3.0,
            |p, m, v, [b, c]| SHRINK * (p - LR * c.sqrt() / b * m / (v.sqrt() + EPS)),
            "t one too small",
        ),
    ];
    for (variant, t, formula, looks_like) in mistakes {
        let (case, made) = by_hand(variant, t, formula);
        submitted(&case, &made, "lora_A", looks_like);
    }
}

/// The state after step 0 as the case has it, rounded in a wrong way: a run that goes on from it unrounded.
#[test]
fn the_state_of_a_trajectory() {
    let trajectory = |free: bool| {
        let rest = format!(
            r#""params":{{"alpha":3,"steps":2,"free":{free},"optimizer":{{"name":"adamw","lr":0.125,"betas":[0.75,0.9375],"eps":0.001}}}}"#
        );
        let mut case = layer("lora", "trajectory", &rest);
        for (step, seed) in [(0, 20), (1, 30)] {
            case.tensors.insert(format!("in.x.{step}"), Tensor::f64(&matrix(3, 5, seed)));
            // Second moments near 2⁻²⁴.
            let grad_y = matrix(3, 4, seed + 1) / 2048.0;
            case.tensors.insert(format!("in.grad_y.{step}"), Tensor::f64(&grad_y));
        }
        case
    };
    let case = emitted(&trajectory(false));
    let cut = |x: f64| {
        let quantum = 2.0_f64.powi((x.abs().log2().floor() as i32 - 7).max(-24));
        (x / quantum).trunc() * quantum
    };
    let roundings: [(&str, &str, &dyn Fn(f64) -> f64); 4] = [
        ("not rounded before", "y.1", &|x| x),
        ("cut off to 8 bits", "y.1", &cut),
        ("rounded to bf16", "exp_avg_sq.lora_A.1", &|x| half::bf16::from_f64(x).to_f64()),
        ("rounded to f16", "y.1", &|x| half::f16::from_f64(x).to_f64()),
    ];
    for (looks_like, first, rounding) in roundings {
        let mut wrong = trajectory(true);
        for (name, tensor) in &case.tensors {
            if name.starts_with("out.")
                && name.ends_with(".0")
                && name.contains("lora_")
                && !name.contains("grad")
            {
                let state: ArrayD<f64> = tensor.to_f64().unwrap().mapv(rounding);
                wrong.tensors.insert(name.clone(), Tensor::f64(&state));
            }
        }
        let made = in_f32(&emit(&wrong).unwrap());
        submitted(&case, &made, first, looks_like);
    }
}
