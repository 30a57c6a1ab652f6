//! The names of a submission's tensors: what is missing, and what is too many.

use ndarray::ArrayD;

use super::bench::Bench;
use crate::case::{Class, Op};
use crate::ops::Output;
use crate::tensors::TensorFile;

/// That a tensor is missing, and which one of the submission has its name in another spelling.
pub(super) fn missing(submission: &TensorFile, name: &str, bench: &Bench) -> String {
    // Samples stand for their moments and their support.
    let parameter = name.rsplit_once('.').filter(|_| bench.class == Class::Stat);
    let name = parameter.map_or(name, |(parameter, _)| parameter);
    let letters = |name: &str| -> String {
        let plain = name.chars().filter(char::is_ascii_alphanumeric);
        let plain: String = plain.map(|letter| letter.to_ascii_lowercase()).collect();
        plain.strip_prefix("out").map_or(plain.clone(), str::to_owned)
    };
    let spelled = |name: &str| {
        let wanted = letters(name);
        submission.tensors.keys().find(move |given| letters(given) == wanted)
    };
    // Of a trajectory the step may be what is left out.
    let step = name.rsplit_once('.').filter(|_| bench.op == Op::Trajectory);
    match spelled(name).or_else(|| spelled(step?.0)) {
        Some(given) => format!("is missing; {given} is there: is out.{name} meant?"),
        None => "is missing".to_owned(),
    }
}

/// A warning for each tensor of the submission that the case does not ask for. What a case has itself may stay in the file.
pub(super) fn unexpected(
    submission: &TensorFile,
    outputs: &[(Output, ArrayD<f64>)],
    class: Class,
) -> Vec<String> {
    let asked_for = |name: &str| {
        outputs.iter().any(|(output, _)| {
            let full = format!("out.{}", output.name);
            // Samples stand for their moments and their support.
            let stands = |statistic: &str| class == Class::Stat && statistic.starts_with('.');
            name == full || full.strip_prefix(name).is_some_and(stands)
        })
    };
    let of_case = |name: &str| name.starts_with("in.") || name.starts_with("gauge.");
    let given = submission.tensors.keys().filter(|name| !of_case(name));
    given
        .filter(|name| !asked_for(name))
        .map(|name| format!("{name} of the submission is not expected"))
        .collect()
}
