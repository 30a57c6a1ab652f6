//! Submissions, right and wrong, for whoever wants to try a checker.

use safetensors::tensor::Dtype;

use crate::bound::Profile;
use crate::case::{Case, Class};
use crate::error::{Result, wrong};
use crate::judge::Bench;
use crate::mutants::Mutant;
use crate::ops::Output;
use crate::tensors::{Tensor, TensorFile};

/// What an implementation would submit that rounds once: with this mistake, or with none. `None` where the mistake does not
/// apply.
///
/// # Errors
/// The case is wrong, or the precision is none of a file's.
pub fn submission(
    file: &TensorFile,
    mutant: Option<&Mutant>,
    precision: Profile,
) -> Result<Option<TensorFile>> {
    let case = Case::of(file)?;
    let dtype = match precision {
        Profile::F64 => Dtype::F64,
        Profile::F32 => Dtype::F32,
        Profile::Bf16 => Dtype::BF16,
        Profile::Fp16 => Dtype::F16,
        Profile::Tf32 => return Err(wrong("tf32 is no type of a file: f64, f32, bf16 or fp16")),
    };
    let mut made = TensorFile::default();
    if case.class == Some(Class::Reject) {
        if mutant.is_none() {
            made.metadata.insert("error".into(), "refused".into());
        }
        let careless = mutant.is_none_or(|mutant| mutant.ignores_errors_of(case.method, case.op));
        return Ok(careless.then_some(made));
    }
    let bench = Bench::read(&case, file, Default::default())?;
    let outputs = match mutant {
        // The file's own numbers, which are correctly rounded.
        None => {
            bench.expected.into_iter().map(|(output, value)| Output { value, ..output }).collect()
        }
        Some(mutant) => match mutant.outputs(case.op, &bench.problem, &bench.right()) {
            Some(outputs) => outputs,
            None => return Ok(None),
        },
    };
    for output in outputs {
        made.tensors.insert(format!("out.{}", output.name), Tensor::rounded(&output.value, dtype));
    }
    Ok(Some(made))
}
