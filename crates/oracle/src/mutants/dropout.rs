//! The mask and 1 − p.

use std::sync::Arc;

use ndarray::{ArrayD, Zip};

use super::change::{changed, factor, named, put};
use super::mutant::Change::{OfOutputs, OfProblem};
use super::mutant::{ADDED_MASKED, MASKED, Mutant, PASS, PASSES};
use crate::case::Op;
use crate::error::Result;
use crate::ops::{Output, Problem};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "mask-missing",
        "the dropout mask not applied",
        OfProblem(|problem, _| problem.inputs.remove_masks()),
    )
    .of(MASKED)
    .in_ops(PASSES),
    Mutant::new(
        "keep-scale-missing",
        "kept values not divided by 1 − p",
        OfProblem(|problem, _| put(&mut problem.params.dropout_p, 0.0)),
    )
    .of(MASKED)
    .in_ops(PASSES),
    Mutant::new(
        "keep-scale-twice",
        "kept values divided by 1 − p twice",
        OfProblem(|problem, _| {
            let keep = 1.0 - problem.params.dropout_p;
            put(&mut problem.params.dropout_p, 1.0 - keep * keep)
        }),
    )
    .of(MASKED)
    .in_ops(PASSES),
    Mutant::new(
        "keep-scale-p",
        "kept values divided by p: the rate taken for the probability to keep",
        OfProblem(|problem, _| {
            let p = problem.params.dropout_p;
            p > 0.0 && put(&mut problem.params.dropout_p, 1.0 - p)
        }),
    )
    .of(MASKED)
    .in_ops(PASSES),
    Mutant::new(
        "mask-inverted",
        "the mask the other way round: 1 taken for dropped",
        OfProblem(|problem, _| problem.inputs.invert_masks()),
    )
    .of(MASKED)
    .in_ops(PASSES),
    Mutant::new(
        "dropout-always",
        "dropout when there is none: always in train mode",
        OfProblem(|problem, _| {
            let without = problem.params.dropout_p == 0.0 && problem.inputs.make_masks();
            without && put(&mut problem.params.dropout_p, 0.5)
        }),
    )
    .seen("candle-lora")
    .of(MASKED)
    .in_ops(PASSES),
    Mutant::new(
        "dropout-on-output",
        "dropout on the adapter's output, not on its input",
        OfOutputs(on_output),
    )
    .seen("peft-rs")
    .of(ADDED_MASKED)
    .in_ops(PASS),
    Mutant::new(
        "dropout-on-base",
        "dropout on the input of the frozen weight too",
        OfOutputs(on_base),
    )
    .of(MASKED)
    .in_ops(PASS),
];

/// y = x Wᵀ + bias + mask ⊙ (s x Aᵀ Bᵀ)/(1 − p). The mask of the input is as good as any, repeated where out > in.
fn on_output(problem: &Problem, op: Op, right: &[Output]) -> Result<Option<Vec<Output>>> {
    let Some(mask) = problem.inputs.mask().filter(|mask| !mask.is_empty()) else {
        return Ok(None);
    };
    let bare = changed(problem, op, |problem| {
        problem.params.dropout_p = 0.0;
        problem.inputs.remove_masks() && factor(problem, 0.0)
    })?;
    let whole = changed(problem, op, |problem| problem.inputs.remove_masks())?;
    let (Some(bare), Some(whole)) = (bare, whole) else { return Ok(None) };
    let (Some(bare), Some(whole)) = (named(&bare, "y"), named(&whole, "y")) else {
        return Ok(None);
    };
    let keep = 1.0 - problem.params.dropout_p;
    let mut value = bare.value.clone();
    for ((index, y), whole) in value.indexed_iter_mut().zip(&whole.value) {
        let kept = mask[[index[0], index[1] % mask.ncols()]];
        *y = if kept == 1 { *y + (whole - *y) / keep } else { *y };
    }
    let (of_bare, of_whole) = (bare.bound.clone(), whole.bound.clone());
    let bound = Arc::new(move |units: &_| (of_bare(units) + of_whole(units)) * (2.0 / keep));
    let replace = |output: &Output| match output.name.as_str() {
        "y" => Output { value: value.clone(), bound: bound.clone(), ..output.clone() },
        _ => output.clone(),
    };
    Ok(Some(right.iter().map(replace).collect()))
}

/// x̃ in the place of x everywhere, and the way back of both terms masked.
fn on_base(problem: &Problem, op: Op, _: &[Output]) -> Result<Option<Vec<Output>>> {
    let Some(mask) = problem.inputs.mask() else { return Ok(None) };
    let keep = 1.0 - problem.params.dropout_p;
    let mut factors = ArrayD::zeros(mask.shape());
    Zip::from(&mut factors)
        .and(&mask.into_dyn())
        .for_each(|factor, &kept| *factor = f64::from(kept) / keep);
    let masked = |tensor: &ArrayD<f64>| {
        Zip::from(tensor).and(&factors).map_collect(|&number, &factor| match factor {
            0.0 => 0.0, // a dropped infinity is dropped
            factor => number * factor,
        })
    };
    let Some(mut outputs) = changed(problem, op, |problem| {
        problem.inputs.change("x", |x| *x = masked(x)) && problem.inputs.remove_masks()
    })?
    else {
        return Ok(None);
    };
    for output in &mut outputs {
        if output.name == "grad_x" {
            output.value = masked(&output.value);
        }
        let bound = output.bound.clone();
        output.bound = Arc::new(move |units: &_| bound(units) * (2.0 / keep));
    }
    Ok(Some(outputs))
}
