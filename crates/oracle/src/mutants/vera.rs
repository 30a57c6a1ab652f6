//! VeRA's shared matrices and its two vectors.

use ndarray::{ArrayD, Axis, concatenate};

use super::mutant::Change::OfProblem;
use super::mutant::{LAYER, Mutant};
use crate::case::Method;

const VERA: &[Method] = &[Method::Vera];

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "lambda-b-missing",
        "λ_b not applied: B alone",
        OfProblem(|problem, _| problem.inputs.change("vera_lambda_b", |b| b.fill(1.0))),
    )
    .seen("peft-rs (vera.rs)")
    .of(VERA)
    .in_ops(LAYER),
    Mutant::new(
        "lambda-d-missing",
        "λ_d not applied",
        OfProblem(|problem, _| problem.inputs.change("vera_lambda_d", |d| d.fill(1.0))),
    )
    .of(VERA)
    .in_ops(LAYER),
    Mutant::new(
        "b-frozen-at-zero",
        "B frozen at zero: ΔW is 0 for ever, and so are the gradients",
        OfProblem(|problem, _| problem.inputs.change("vera_B", |b| b.fill(0.0))),
    )
    .seen("peft-rs (vera.rs)")
    .of(VERA)
    .in_ops(LAYER),
    Mutant::new(
        "alpha-in-vera",
        "8/r applied inside VeRA, which has no α",
        OfProblem(|problem, _| {
            let scale = 8.0 / problem.inputs.dims.rank as f64;
            scale != 1.0 && problem.inputs.change("vera_lambda_b", |b| *b *= scale)
        }),
    )
    .seen("MyTransformers")
    .of(VERA)
    .in_ops(LAYER),
    Mutant::new(
        "slice-from-the-end",
        "the last columns of A and rows of B in the place of the first",
        OfProblem(|problem, _| {
            let dims = problem.inputs.dims;
            let of_a = problem.inputs.change("vera_A", |a| *a = rolled(a, 1, dims.inputs));
            let of_b = problem.inputs.change("vera_B", |b| *b = rolled(b, 0, dims.outputs));
            of_a | of_b
        }),
    )
    .of(VERA)
    .in_ops(LAYER),
];

/// The last `size` rows or columns first.
fn rolled(matrix: &ArrayD<f64>, axis: usize, size: usize) -> ArrayD<f64> {
    let (rest, last) = matrix.view().split_at(Axis(axis), matrix.shape()[axis] - size);
    concatenate(Axis(axis), &[last, rest]).unwrap_or_else(|_| matrix.clone())
}
