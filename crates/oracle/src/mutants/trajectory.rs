//! The state that a trajectory goes on from: the case's own, rounded to 8 significant bits. To go on from another number is a
//! mistake of precision: bf16 has no more bits, and honest code in it may be as far off.

use half::f16;

use super::mutant::Change::OfProblem;
use super::mutant::Mutant;
use super::projected_gradient::in_bf16;
use crate::case::Op;
use crate::ops::Problem;

const TRAJECTORY: &[Op] = &[Op::Trajectory];

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "state-unrounded",
        "a trajectory's state not rounded before the next step",
        OfProblem(|problem, _| rounded(problem, |number| number)),
    )
    .in_ops(TRAJECTORY)
    .honest_in_bf16(),
    Mutant::new(
        "state-cut",
        "a trajectory's state cut off to 8 bits before the next step, not rounded",
        OfProblem(|problem, _| rounded(problem, cut)),
    )
    .in_ops(TRAJECTORY)
    .honest_in_bf16(),
    Mutant::new(
        "state-in-bf16",
        "a trajectory's state rounded to bf16: 2⁻²⁴ not taken for the smallest number",
        OfProblem(|problem, _| rounded(problem, in_bf16)),
    )
    .in_ops(TRAJECTORY)
    .honest_in_bf16(),
    Mutant::new(
        "state-in-f16",
        "a trajectory's state rounded to f16: 11 bits, not 8",
        OfProblem(|problem, _| rounded(problem, |number| f16::from_f64(number).to_f64())),
    )
    .in_ops(TRAJECTORY)
    .honest_in_bf16(),
];

fn rounded(problem: &mut Problem, rounding: fn(f64) -> f64) -> bool {
    problem.slips.rounding = rounding;
    problem.params.steps > 1
}

/// 8 significant bits, in multiples of 2⁻²⁴, towards 0.
fn cut(number: f64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return number;
    }
    let quantum = 2.0_f64.powi((number.abs().log2().floor() as i32 - 7).max(-24));
    (number / quantum).trunc() * quantum
}
