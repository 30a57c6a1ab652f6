//! Honest implementations, emulated with a rounding after every operation, stay within their bounds: f32, bf16 and fp16;
//! five orders of summation; fused multiply-adds or not; both terms of y in one sum or in two; s on h, on the product or on a
//! factor. proptest tries to break the constants. Each test prints the largest ρ it met: a bound that no honest
//! implementation comes near is too loose, and `bounds_are_not_idle` asserts that they do.

mod dora;
mod machine;
mod passes;
mod steps;
mod trajectories;

use std::collections::BTreeMap;

use machine::Machine;
use ndarray::ArrayD;
use oracle::{Options, Tensor, TensorFile, Verdict, check, emit};

/// Inputs by name.
pub type Named = BTreeMap<String, ArrayD<f64>>;

/// A case with these inputs, emitted.
pub fn case(text: &str, inputs: &Named, mask: Option<&ndarray::Array2<u8>>) -> TensorFile {
    let mut file = TensorFile::default();
    file.metadata.insert("case".into(), text.into());
    for (name, tensor) in inputs {
        file.tensors.insert(format!("in.{name}"), Tensor::f64(tensor));
    }
    if let Some(mask) = mask {
        let tensor = Tensor {
            dtype: safetensors::tensor::Dtype::U8,
            shape: mask.shape().to_vec(),
            data: mask.iter().copied().collect(),
        };
        file.tensors.insert("in.dropout_mask".into(), tensor);
    }
    emit(&file).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Judge what the machine computed, and give the largest ρ of each tensor.
pub fn judge(case: &TensorFile, machine: &Machine, outputs: &Named) -> BTreeMap<String, f64> {
    let mut submission = TensorFile::default();
    for (name, tensor) in outputs {
        submission.tensors.insert(format!("out.{name}"), machine.tensor(tensor));
    }
    let report = check(case, Some(&submission), Options::default()).unwrap();
    let (dtype, order) = (machine.dtype, machine.order);
    assert_eq!(
        report.verdict,
        Verdict::Pass,
        "{dtype} {order:?}: {report}\n{}",
        case.metadata["case"]
    );
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    report.findings.into_iter().map(|finding| (finding.tensor, finding.rho)).collect()
}

/// The largest of each.
pub fn merge(into: &mut BTreeMap<String, f64>, from: BTreeMap<String, f64>) {
    for (name, rho) in from {
        let most = into.entry(name).or_insert(0.0);
        *most = most.max(rho);
    }
}
