//! What a submission is compared with.

use ndarray::ArrayD;

use super::compare::same;
use crate::bound::Profile;
use crate::case::{Case, Class};
use crate::error::{Result, wrong};
use crate::ops::{Output, Problem, evaluate};
use crate::tensors::TensorFile;

/// Every output that the case asks for, as it is computed here, and its value: that of the file where the file has one.
///
/// # Errors
/// The inputs are wrong, or the file has an output that the op does not give, or with another shape.
pub(crate) fn expected(
    case: &Case,
    file: &TensorFile,
    problem: &Problem,
    warnings: &mut Vec<String>,
) -> Result<Vec<(Output, ArrayD<f64>)>> {
    let outputs = evaluate(case.op, problem)?;
    let named = |name: &str| outputs.iter().any(|output| output.name == name);
    let given = || file.tensors.keys().filter_map(|name| name.strip_prefix("out."));
    if let Some(name) = given().find(|name| !named(name)) {
        let (method, op) = (case.method, case.op);
        return Err(wrong(format!("out.{name} is no output of {method}/{op}")));
    }
    let all = given().next().is_none();
    let mut list = Vec::new();
    for output in outputs {
        let name = &output.name;
        let Some(tensor) = file.tensors.get(&format!("out.{name}")) else {
            if all {
                let value = output.value.clone();
                list.push((output, value));
            }
            continue;
        };
        let want = tensor.to_f64().map_err(|error| wrong(format!("out.{name} {error}")))?;
        let (got, needed) = (want.shape(), output.value.shape());
        if got != needed {
            return Err(wrong(format!("out.{name} has shape {got:?} where {needed:?} is needed")));
        }
        if !agree(&output, &want, case.class == Some(Class::Acceptable)) {
            warnings.push(format!("out.{name} of the case is not what this program computes"));
        }
        list.push((output, want));
    }
    Ok(list)
}

/// Is the file's value the one computed here, up to what `f64` may be off and one rounding? Where several results are
/// acceptable the file has one of them.
fn agree(output: &Output, want: &ArrayD<f64>, several: bool) -> bool {
    let units = Profile::F64.units(false);
    let bound = (output.bound)(&units);
    output.value.iter().zip(want).zip(&bound).all(|((value, want), bound)| {
        let either = several && !value.is_finite();
        same(*value, *want) || either || (value - want).abs() <= bound + units.store * want.abs()
    })
}
