//! Which mistake gives these numbers: the case is computed once more with each mistake of the list in it, and a
//! submission that agrees with one of them, within its bound, is explained.

use std::sync::Arc;

use ndarray::ArrayD;

use super::compare::compare;
use super::tensor::Judge;
use super::verdict::{Report, Verdict};
use crate::case::{Case, transposed};
use crate::mutants::{Mutant, mutants};
use crate::ops::{Output, Problem};
use crate::tensors::TensorFile;

/// The mistake that explains the first tensor that fails, and most of the others.
pub(super) fn explain(
    case: &Case,
    problem: &Problem,
    outputs: &[(Output, ArrayD<f64>)],
    submission: &TensorFile,
    report: &Report,
    judge: &Judge,
) -> Option<String> {
    let failed: Vec<&str> = report
        .findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Fail && finding.worst.is_some())
        .map(|finding| finding.tensor.as_str())
        .collect();
    // A tensor that is missing or misshapen needs no explanation.
    if report.divergence()?.tensor != *failed.first()? {
        return None;
    }
    let first = failed[0];
    let got = submission.tensors.get(&format!("out.{first}"))?;
    if got.to_f64().ok()?.iter().any(|number| !number.is_finite()) {
        return None;
    }

    let right: Vec<Output> = outputs.iter().map(|(output, _)| output.clone()).collect();
    let mut best: Option<(usize, &Mutant)> = None;
    for mutant in mutants() {
        let Some(mistaken) = mutant.outputs(case.op, problem, &right) else { continue };
        let explains = |name: &&&str| {
            mistaken.iter().any(|output| output.name == **name && agrees(output, submission, judge))
        };
        if explains(&&first) {
            let count = failed.iter().filter(explains).count();
            if best.is_none_or(|(most, _)| count > most) {
                best = Some((count, mutant));
            }
        }
    }
    if let Some((_, mutant)) = best {
        return Some(mutant.to_string());
    }
    arithmetic(outputs, first, submission, judge, problem)
}

/// Does the submission agree with this output, within its bound?
fn agrees(output: &Output, submission: &TensorFile, judge: &Judge) -> bool {
    let Some(tensor) = submission.tensors.get(&format!("out.{}", output.name)) else {
        return false;
    };
    let (Ok(got), Some((_, units))) = (tensor.to_f64(), judge.units(tensor.dtype)) else {
        return false;
    };
    if got.shape() != output.value.shape() {
        return false;
    }
    let bound = judge.bound(output, &units);
    compare(&got, &output.value, &bound, &bound, |_, _, _| false).verdict == Verdict::Pass
}

/// A factor, a transpose, or another tensor.
fn arithmetic(
    outputs: &[(Output, ArrayD<f64>)],
    first: &str,
    submission: &TensorFile,
    judge: &Judge,
    problem: &Problem,
) -> Option<String> {
    let (output, want) = outputs.iter().find(|(output, _)| output.name == first)?;
    let p = problem.params.dropout_p;
    let factors = [
        (0.0, "0"),
        (-1.0, "−want: a sign"),
        (2.0, "2 want"),
        (0.5, "want/2"),
        (1.0 - p, "(1 − p) want: the mask's scale missing"),
        (1.0 / (1.0 - p), "want/(1 − p): the mask's scale applied twice"),
    ];
    for (factor, text) in factors {
        if factor == 1.0 {
            continue;
        }
        let bound = output.bound.clone();
        let mistaken = Output {
            value: want * factor,
            bound: Arc::new(move |units| bound(units) * factor.abs()),
            ..output.clone()
        };
        if agrees(&mistaken, submission, judge) {
            return Some(format!("got = {text}"));
        }
    }
    if want.ndim() == 2 && want.shape()[0] == want.shape()[1] {
        let bound = output.bound.clone();
        let mistaken = Output {
            value: transposed(want),
            bound: Arc::new(move |units| transposed(&bound(units))),
            ..output.clone()
        };
        if agrees(&mistaken, submission, judge) {
            return Some(format!("{first} transposed"));
        }
    }
    let other = outputs.iter().find(|(other, value)| {
        other.name != first && value.shape() == want.shape() && {
            let name = first.to_owned();
            agrees(&Output { name, ..other.clone() }, submission, judge)
        }
    })?;
    Some(format!("{first} holds {}", other.0.name))
}
