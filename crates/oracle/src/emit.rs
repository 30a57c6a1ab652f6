//! From a case with its inputs to the case with expected values and gauges.

use std::path::Path;

use crate::case::Case;
use crate::error::{Result, at, io};
use crate::ops::{Output, Problem, evaluate};
use crate::tensors::{Tensor, TensorFile};

/// The expected tensors of a case, computed in `f64`.
///
/// # Errors
/// The inputs are incomplete or do not fit together, or the method refuses them.
pub fn outputs(case: &Case, file: &TensorFile) -> Result<Vec<Output>> {
    evaluate(case.op, &Problem::read(case, file)?)
}

/// The case with `out.*` in F64 and `gauge.*` in F32, rounded up.
///
/// A case that already has states of a trajectory (`out.<p>.<t>`) is followed: step t + 1 starts from them.
///
/// # Errors
/// The case is wrong, its inputs are incomplete or do not fit together, or the method refuses them.
pub fn emit(file: &TensorFile) -> Result<TensorFile> {
    emit_case(&Case::of(file)?, file)
}

/// [`emit`] of a case that was parsed already.
pub(crate) fn emit_case(case: &Case, file: &TensorFile) -> Result<TensorFile> {
    let mut made = TensorFile::default();
    made.metadata.insert("case".into(), case.text.clone());
    for (name, tensor) in &file.tensors {
        if name.starts_with("in.") {
            made.tensors.insert(name.clone(), tensor.clone());
        }
    }
    for output in outputs(case, file)? {
        let name = &output.name;
        made.tensors.insert(format!("out.{name}"), Tensor::f64(&output.value));
        for (term, gauge) in &output.gauges {
            // A distribution's moments have one gauge, without a name of its own.
            let dot = if term.is_empty() { "" } else { "." };
            made.tensors.insert(format!("gauge.{name}{dot}{term}"), Tensor::f32_up(gauge));
        }
    }
    Ok(made)
}

/// [`emit`] from one file to another.
///
/// # Errors
/// The case is wrong (see [`emit`]), or a file cannot be read or written.
pub fn emit_file(from: &Path, to: &Path) -> Result<()> {
    let made = emit(&TensorFile::read(from)?).map_err(at(from))?;
    std::fs::write(to, made.to_bytes().map_err(at(to))?).map_err(io(to))
}
