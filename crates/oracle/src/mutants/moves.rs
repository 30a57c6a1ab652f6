//! How Delta-LoRA moves W.

use ndarray::Array2;

use super::change::{named, put, with_value};
use super::mutant::Change::{OfOutputs, OfProblem};
use super::mutant::{Mutant, UPDATES};
use crate::case::{Method, Op, transposed};
use crate::ops::{Output, Problem};

const DELTA: &[Method] = &[Method::DeltaLora];
const STEP: &[Op] = &[Op::Step];

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "move-late",
        "W starts to move one update late: the first only takes a snapshot",
        OfProblem(|problem, _| {
            let delta = &mut problem.params.delta;
            delta.start_step = delta.start_step.saturating_add(1);
            true
        }),
    )
    .seen("MyTransformers")
    .of(DELTA)
    .in_ops(UPDATES),
    Mutant::new(
        "move-early",
        "W starts to move one update early",
        OfProblem(|problem, _| {
            let delta = &mut problem.params.delta;
            let earlier = delta.start_step.saturating_sub(1);
            put(&mut delta.start_step, earlier)
        }),
    )
    .of(DELTA)
    .in_ops(UPDATES),
    Mutant::new(
        "move-never",
        "W does not move",
        OfProblem(|problem, _| put(&mut problem.params.delta.lambda, 0.0)),
    )
    .of(DELTA)
    .in_ops(UPDATES),
    Mutant::new(
        "move-off-at-zero",
        "W does not move where start_step is 0: 0 taken for off",
        OfProblem(|problem, _| {
            let delta = &mut problem.params.delta;
            delta.start_step == 0 && put(&mut delta.lambda, 0.0)
        }),
    )
    .seen("MyTransformers")
    .of(DELTA)
    .in_ops(UPDATES),
    Mutant::new(
        "move-scale-flipped",
        "include_scale the other way round in W's move",
        OfProblem(|problem, _| {
            problem.params.delta.include_scale ^= true;
            true
        }),
    )
    .of(DELTA)
    .in_ops(UPDATES),
    Mutant::new(
        "move-of-differences",
        "W moved by (B⁺ − B)(A⁺ − A), which is not B⁺A⁺ − B A",
        OfOutputs(|problem, _, right| {
            Ok(moved(problem, right, |[a0, b0], [a1, b1]| (b1 - b0).dot(&(a1 - a0))))
        }),
    )
    .seen("a port of Delta-LoRA")
    .of(DELTA)
    .in_ops(STEP),
    Mutant::new(
        "move-of-whole-product",
        "W moved by B⁺A⁺: the product before the update not taken off",
        OfOutputs(|problem, _, right| Ok(moved(problem, right, |_, [a1, b1]| b1.dot(a1)))),
    )
    .of(DELTA)
    .in_ops(STEP),
    Mutant::new(
        "move-of-b-alone",
        "W moved by (B⁺ − B) A: the change of A left out",
        OfOutputs(|problem, _, right| {
            Ok(moved(problem, right, |[a0, b0], [_, b1]| (b1 - b0).dot(a0)))
        }),
    )
    .of(DELTA)
    .in_ops(STEP),
    Mutant::new(
        "move-without-lambda",
        "λ left out of W's move",
        OfProblem(|problem, _| put(&mut problem.params.delta.lambda, 1.0)),
    )
    .of(DELTA)
    .in_ops(UPDATES),
    Mutant::new(
        "lambda-default",
        "λ of the configuration ignored: 2 in its place",
        OfProblem(|problem, _| put(&mut problem.params.delta.lambda, 2.0)),
    )
    .of(DELTA)
    .in_ops(UPDATES),
    Mutant::new(
        "move-backwards",
        "W's move with the wrong sign",
        OfOutputs(|problem, _, right| {
            Ok(moved(problem, right, |[a0, b0], [a1, b1]| b0.dot(a0) - b1.dot(a1)))
        }),
    )
    .of(DELTA)
    .in_ops(STEP),
];

/// W + λ s times a product of A, B before and after the update, where W moves at all.
fn moved(
    problem: &Problem,
    right: &[Output],
    product: fn([&Array2<f64>; 2], [&Array2<f64>; 2]) -> Array2<f64>,
) -> Option<Vec<Output>> {
    let delta = problem.params.delta;
    if problem.params.start < delta.start_step {
        return None;
    }
    let after =
        |name: &str| named(right, name)?.value.clone().into_dimensionality::<ndarray::Ix2>().ok();
    let [a0, b0] = [problem.inputs.matrix("lora_A")?, problem.inputs.matrix("lora_B")?];
    let [a1, b1] = [after("lora_A")?, after("lora_B")?];
    let scale = if delta.include_scale { problem.scale().ok()? } else { 1.0 };
    let mut value = problem.weight();
    value.scaled_add(delta.lambda * scale, &product([&a0, &b0], [&a1, &b1]));
    let value = value.into_dyn();
    let value = if problem.params.fan_in_fan_out { transposed(&value) } else { value };
    // Of the right move, whose terms are as large or larger; twice, to be safe.
    Some(with_value(right, "weight", value, 2.0))
}
