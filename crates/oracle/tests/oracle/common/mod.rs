//! Cases to judge: small layers on the grid of 8 bits, every number another.

use std::path::{Path, PathBuf};

use ndarray::{Array1, Array2, ArrayD};
use oracle::bound::Units;
use oracle::{Tensor, TensorFile, emit};
use safetensors::tensor::Dtype;

/// Nothing rounds.
pub const EXACT: Units = Units {
    accumulate: 0.0,
    store: 0.0,
    tiny_accumulate: 0.0,
    tiny_store: 0.0,
    inputs_round: false,
    square_root: false,
};

/// The folder of the shipped cases.
pub fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

/// Numbers of both signs with 8 bits and different sizes, from a counter.
pub fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..count)
        .map(|_| {
            let bits = draw();
            let size = 2.0_f64.powi((bits >> 8) as i32 % 4 - 9);
            let sign = if bits & 1 == 0 { 1.0 } else { -1.0 };
            sign * (128 + (bits >> 40) % 128) as f64 * size
        })
        .collect()
}

pub fn matrix(rows: usize, columns: usize, seed: u64) -> ArrayD<f64> {
    Array2::from_shape_vec((rows, columns), numbers(rows * columns, seed)).unwrap().into_dyn()
}

pub fn vector(size: usize, seed: u64) -> ArrayD<f64> {
    Array1::from_vec(numbers(size, seed)).into_dyn()
}

/// A case with id `method/op/x`. `rest` is what follows in the JSON: `"params":{…}` and more.
pub fn text(method: &str, op: &str, rest: &str) -> String {
    format!(
        "{{\"schema\":\"lowrank-case/1\",\"id\":\"{method}/{op}/x\",\"method\":\"{method}\",\"op\":\"{op}\"{}{rest}}}",
        if rest.is_empty() { "" } else { "," }
    )
}

pub fn file(text: &str, tensors: &[(&str, ArrayD<f64>)]) -> TensorFile {
    let mut file = TensorFile::default();
    file.metadata.insert("case".into(), text.into());
    for (name, tensor) in tensors {
        file.tensors.insert((*name).into(), Tensor::f64(tensor));
    }
    file
}

/// 3 tokens, 5 inputs, 4 outputs, rank 2.
pub fn layer(method: &str, op: &str, rest: &str) -> TensorFile {
    let mut tensors = vec![("in.weight", matrix(4, 5, 1))];
    if method == "vera" {
        tensors.push(("in.vera_A", matrix(2, 5, 2)));
        tensors.push(("in.vera_B", matrix(4, 2, 3)));
        tensors.push(("in.vera_lambda_d", vector(2, 4)));
        tensors.push(("in.vera_lambda_b", vector(4, 5)));
    } else {
        tensors.push(("in.lora_A", matrix(2, 5, 2)));
        tensors.push(("in.lora_B", matrix(4, 2, 3)));
    }
    if op == "forward" || op == "backward" {
        tensors.push(("in.x", matrix(3, 5, 6)));
    }
    if op == "backward" {
        tensors.push(("in.grad_y", matrix(3, 4, 7)));
    }
    file(&text(method, op, rest), &tensors)
}

/// One update of A and B (W beside them for delta-lora).
pub fn step(method: &str, rest: &str, moments: bool) -> TensorFile {
    let mut tensors = vec![("in.lora_B", matrix(4, 2, 3)), ("in.grad_lora_B", matrix(4, 2, 8))];
    if method != "lora-fa" {
        tensors.push(("in.lora_A", matrix(2, 5, 2)));
        tensors.push(("in.grad_lora_A", matrix(2, 5, 9)));
    }
    if method == "delta-lora" {
        tensors.push(("in.weight", matrix(4, 5, 1)));
    }
    if moments {
        tensors.push(("in.exp_avg.lora_A", matrix(2, 5, 10)));
        tensors.push(("in.exp_avg.lora_B", matrix(4, 2, 11)));
        tensors.push(("in.exp_avg_sq.lora_A", matrix(2, 5, 12).mapv(f64::abs)));
        tensors.push(("in.exp_avg_sq.lora_B", matrix(4, 2, 13).mapv(f64::abs)));
    }
    file(&text(method, "step", rest), &tensors)
}

pub fn with_mask(mut file: TensorFile) -> TensorFile {
    let data = [1, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 0, 1, 1].to_vec();
    let mask = Tensor { dtype: Dtype::U8, shape: vec![3, 5], data };
    file.tensors.insert("in.dropout_mask".into(), mask);
    file
}

/// What an implementation in f32 would submit that computes exactly and rounds once.
pub fn in_f32(made: &TensorFile) -> TensorFile {
    let mut submission = TensorFile::default();
    for (name, tensor) in made.tensors.iter().filter(|(name, _)| name.starts_with("out.")) {
        let numbers = tensor.to_f64().unwrap();
        let data = numbers.iter().flat_map(|&number| (number as f32).to_le_bytes()).collect();
        let tensor = Tensor { dtype: Dtype::F32, shape: tensor.shape.clone(), data };
        submission.tensors.insert(name.clone(), tensor);
    }
    submission
}

/// Replace a tensor of a submission.
pub fn put(
    submission: &mut TensorFile,
    name: &str,
    change: impl FnOnce(ArrayD<f64>) -> ArrayD<f64>,
) {
    let tensor = submission.tensors.get_mut(name).unwrap_or_else(|| panic!("{name}"));
    let mut changed = TensorFile::default();
    changed.tensors.insert(name.into(), Tensor::f64(&change(tensor.to_f64().unwrap())));
    // out. has to be there for in_f32
    *tensor = in_f32(&changed).tensors.remove(name).expect("an output");
}

pub fn emitted(file: &TensorFile) -> TensorFile {
    emit(file).unwrap_or_else(|error| panic!("{}: {error}", file.metadata["case"]))
}
