//! The steps that mistakes are made of.

use std::sync::Arc;

use lora::Scaling;
use ndarray::ArrayD;

use crate::case::{Method, Op};
use crate::error::Result;
use crate::ops::{Output, Problem, evaluate};

/// Replace a parameter; false if it was that before.
pub(super) fn put<T: PartialEq>(place: &mut T, value: T) -> bool {
    let changed = *place != value;
    *place = value;
    changed
}

/// The problem with another factor on s; on λ_b in VeRA, which has no s.
pub(super) fn factor(problem: &mut Problem, factor: f64) -> bool {
    match problem.method {
        Method::Vera => factor != 1.0 && problem.inputs.change("vera_lambda_b", |b| *b *= factor),
        _ => {
            problem.scale_factor = factor;
            factor.is_finite() && factor != 1.0
        }
    }
}

/// The problem with s = 1. False if that is what it was, or the method has no s.
pub(super) fn scale_of_one(problem: &mut Problem) -> bool {
    let rank = problem.inputs.dims.rank as f64;
    let scale = problem.scale().unwrap_or(1.0);
    if scale == 0.0 && problem.method != Method::Vera {
        // No factor makes 1 of 0.
        problem.params.alpha = match problem.params.scaling {
            Scaling::AlphaOverR => rank,
            Scaling::RsLora => rank.sqrt(),
        };
        return rank > 0.0;
    }
    factor(problem, 1.0 / scale)
}

/// The results of a changed problem.
pub(super) fn changed(
    problem: &Problem,
    op: Op,
    change: impl FnOnce(&mut Problem) -> bool,
) -> Result<Option<Vec<Output>>> {
    let mut mistaken = problem.clone();
    if change(&mut mistaken) { evaluate(op, &mistaken).map(Some) } else { Ok(None) }
}

/// The right results, and those of a changed problem where `wrong` says so by name.
pub(super) fn mixed(
    problem: &Problem,
    op: Op,
    right: &[Output],
    wrong: fn(&str) -> bool,
    change: impl FnOnce(&mut Problem) -> bool,
) -> Result<Option<Vec<Output>>> {
    let Some(mistaken) = changed(problem, op, change)? else { return Ok(None) };
    let pick = |right: &Output| {
        let other = mistaken.iter().find(|other| other.name == right.name && wrong(&other.name));
        other.unwrap_or(right).clone()
    };
    Ok(Some(right.iter().map(pick).collect()))
}

/// One result replaced by another value, which may be off by up to `times` of what the right one may be.
pub(super) fn with_value(
    right: &[Output],
    name: &str,
    value: ArrayD<f64>,
    times: f64,
) -> Vec<Output> {
    let replace = |output: &Output| match output.name == name {
        true => {
            let bound = output.bound.clone();
            let bound = Arc::new(move |units: &_| bound(units) * times);
            Output { value: value.clone(), bound, ..output.clone() }
        }
        false => output.clone(),
    };
    right.iter().map(replace).collect()
}

/// The result with this name.
pub(super) fn named<'a>(outputs: &'a [Output], name: &str) -> Option<&'a Output> {
    outputs.iter().find(|output| output.name == name)
}
