//! Layers such as people test with: 256 × 256, after a little training.

use ndarray::{Array2, ArrayD, IxDyn};
use safetensors::tensor::Dtype;

use crate::case::{Method, Op};
use crate::tensors::{Tensor, TensorFile};

const SIZE: usize = 256;
const RANK: usize = 8;
const TOKENS: usize = 8;
/// α = 16.
const SCALE: f64 = 2.0;

/// W and A as they are initialised, B (or λ_b) as it is after a few updates, AdamW with decay.
pub(super) fn layer(method: Method, op: Op) -> TensorFile {
    let vera = method == Method::Vera;
    let mut params = Vec::new();
    if !vera {
        params.push(r#""alpha":16"#.to_owned());
    }
    if op == Op::Step {
        let ratio = if method == Method::LoraPlus { r#","lr_ratio":16"# } else { "" };
        params.push(format!(
            r#""start":3,"optimizer":{{"name":"adamw","lr":0.0001,"weight_decay":0.01{ratio}}}"#
        ));
    }
    let mut file = TensorFile::default();
    let params = params.join(",");
    let text = format!(
        r#"{{"schema":"lowrank-case/1","id":"{method}/{op}/ordinary","method":"{method}","op":"{op}","params":{{{params}}}}}"#
    );
    file.metadata.insert("case".into(), text);
    let mut add = |name: &str, shape: &[usize], size: f64| {
        let seed = file.tensors.len() as u64 + 1;
        // m is near the lengths of W's rows, of 256 numbers of 1/16 · 1/√3.
        let middle = if name == "lora_magnitude_vector" { 0.6 } else { 0.0 };
        file.tensors.insert(format!("in.{name}"), drawn(shape, size, seed, middle));
    };
    let root = 1.0 / (SIZE as f64).sqrt();
    let trained: &[(&str, &[usize], f64)] = match method {
        Method::Vera => &[("vera_lambda_b", &[SIZE], 0.01), ("vera_lambda_d", &[RANK], 0.1)],
        Method::LoraFa => &[("lora_B", &[SIZE, RANK], 1e-3)],
        Method::Dora => &[
            ("lora_A", &[RANK, SIZE], 1.0 / 16.0),
            ("lora_B", &[SIZE, RANK], 1e-3),
            ("lora_magnitude_vector", &[SIZE], 0.05),
        ],
        _ => &[("lora_A", &[RANK, SIZE], 1.0 / 16.0), ("lora_B", &[SIZE, RANK], 1e-3)],
    };
    for (name, shape, size) in trained {
        add(name, shape, *size);
        if op == Op::Step {
            add(&format!("grad_{name}"), shape, 1e-3);
            add(&format!("exp_avg.{name}"), shape, 3e-4);
            add(&format!("exp_avg_sq.{name}"), shape, 1e-9);
        }
    }
    if op != Op::Step || method == Method::DeltaLora {
        add("weight", &[SIZE, SIZE], root);
    }
    if op != Op::Step {
        match method {
            Method::LoraFa => add("lora_A", &[RANK, SIZE], root),
            Method::Vera => {
                add("vera_A", &[RANK, SIZE], root);
                add("vera_B", &[SIZE, RANK], 1.0);
            }
            _ => {}
        }
    }
    if matches!(op, Op::Forward | Op::Backward) {
        add("x", &[TOKENS, SIZE], 2.0);
    }
    if op == Op::Backward {
        add("grad_y", &[TOKENS, SIZE], 1e-2);
    }
    file
}

/// Even in ±size around the middle, in bf16, so that every format holds it; moments of squares are positive.
fn drawn(shape: &[usize], size: f64, seed: u64, middle: f64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let positive = size < 1e-6;
    let number = |at: f64| if positive { size * at } else { size * (2.0 * at - 1.0) };
    let array = ArrayD::from_shape_simple_fn(IxDyn(shape), || middle + number(draw()));
    Tensor::rounded(&array, Dtype::BF16)
}

/// LoRA's backward pass by hand, each product and each sum rounded to the format, as code in that format does it.
pub(super) fn backward(
    get: &dyn Fn(&str) -> Array2<f64>,
    round: &dyn Fn(f64) -> f64,
) -> Vec<(&'static str, Array2<f64>)> {
    let [x, w, a, b, g] = ["x", "weight", "lora_A", "lora_B", "grad_y"].map(get);
    let times = |left: &Array2<f64>, right: &Array2<f64>| left.dot(right).mapv(round);
    let transposed = |matrix: &Array2<f64>| matrix.t().as_standard_layout().to_owned();
    let scaled = |matrix: Array2<f64>| (matrix * SCALE).mapv(round);
    let h = scaled(times(&x, &transposed(&a))); // [tokens, r]
    let y = (times(&x, &transposed(&w)) + times(&h, &transposed(&b))).mapv(round);
    let back = scaled(times(&g, &b)); // [tokens, r]
    let grad_x = (times(&g, &w) + times(&back, &a)).mapv(round);
    let (grad_a, grad_b) = (times(&transposed(&back), &x), times(&transposed(&g), &h));
    vec![("y", y), ("grad_x", grad_x), ("grad_lora_A", grad_a), ("grad_lora_B", grad_b)]
}
