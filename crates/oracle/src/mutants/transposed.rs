//! Weights and deltas the other way round.

use std::sync::Arc;

use ndarray::ArrayD;

use super::change::named;
use super::mutant::Change::{OfOutputs, OfProblem};
use super::mutant::{ADDED, LAYER, MERGES, Mutant};
use crate::case::{Op, transposed};
use crate::ops::{Output, Problem};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "weight-transposed",
        "W used the other way round (fan_in_fan_out)",
        OfProblem(|problem, _| {
            let square = problem.inputs.dims.inputs == problem.inputs.dims.outputs;
            square && problem.inputs.change("weight", |weight| *weight = transposed(weight))
        }),
    )
    .in_ops(LAYER),
    Mutant::new(
        "delta-not-transposed",
        "ΔW added in its own order to a weight that is stored [in, out]",
        OfOutputs(|problem, _, right| Ok(in_its_own_order(problem, right))),
    )
    .seen("candle-lora (its convolutions)")
    .in_ops(MERGES),
    Mutant::new(
        "unmerge-not-transposed",
        "ΔW taken off in its own order where merge transposed it: silent when square",
        OfOutputs(|problem, _, right| {
            let square = problem.inputs.dims.inputs == problem.inputs.dims.outputs;
            Ok(if square { in_its_own_order(problem, right) } else { None })
        }),
    )
    .seen("loralib #61, the other way round")
    .of(ADDED)
    .in_ops(&[Op::Unmerge]),
];

/// The numbers of ΔW \[out, in\], row by row, added to those of W \[in, out\].
fn in_its_own_order(problem: &Problem, right: &[Output]) -> Option<Vec<Output>> {
    if !problem.params.fan_in_fan_out {
        return None;
    }
    let before = problem.stored_weight();
    let weight = named(right, "weight")?;
    let value = &before + &reread(&(&weight.value - &before))?;
    let bound = weight.bound.clone();
    // An upper bound: the base's part is in it twice.
    let bound = Arc::new(move |units: &_| {
        let own = bound(units);
        reread(&own).map_or(own.clone(), |other| own + other)
    });
    Some(vec![Output { value, bound, ..weight.clone() }])
}

/// A delta in the place of its transpose.
fn reread(delta: &ArrayD<f64>) -> Option<ArrayD<f64>> {
    transposed(delta).into_shape_with_order(delta.shape()).ok()
}
