//! LoRA-FA's projection.

use std::sync::Arc;

use half::bf16;
use lora_fa::Variant;
use ndarray::{Array2, ArrayD, Axis};

use super::change::{changed, named, put, with_value};
use super::mutant::Change::OfOutputs;
use super::mutant::Mutant;
use crate::case::{Method, Op};
use crate::error::{Result, wrong};
use crate::ops::{Output, Problem};

const FA: &[Method] = &[Method::LoraFa];
const GIVEN: &[Op] = &[Op::Backward, Op::Step];

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "projection-missing",
        "the plain gradient in the place of the projected one",
        OfOutputs(|problem, op, right| match op {
            Op::Backward => projected(problem, op, right, |g, _, _| Ok(g.clone())),
            _ => changed(problem, op, |problem| put(&mut problem.params.variant, Variant::Plain)),
        }),
    )
    .of(FA),
    Mutant::new(
        "projection-global-scale",
        "s = 1 in the projection: one scale for all layers",
        OfOutputs(|problem, op, right| {
            projected(problem, op, right, |g, problem, s| Ok(exact(g, problem)? * (s * s)))
        }),
    )
    .seen("PEFT #3315")
    .of(FA)
    .in_ops(GIVEN),
    Mutant::new(
        "projection-scale-once",
        "1/s in the place of 1/s² in the projection",
        OfOutputs(|problem, op, right| {
            projected(problem, op, right, |g, problem, s| Ok(exact(g, problem)? * s))
        }),
    )
    .of(FA)
    .in_ops(GIVEN),
    Mutant::new(
        "projection-diagonal",
        "only the diagonal of A Aᵀ inverted: rows of A taken for orthogonal",
        OfOutputs(|problem, op, right| {
            projected(problem, op, right, |g, problem, s| {
                let a = problem.matrix("lora_A", 0, 0);
                let squares = a.mapv(|number| number * number).sum_axis(Axis(1)); // [r]
                Ok(g / &(squares * (s * s)))
            })
        }),
    )
    .of(FA)
    .in_ops(GIVEN),
    Mutant::new(
        "projection-in-bf16",
        "A Aᵀ, its inverse and their product rounded to bf16 by autocast",
        OfOutputs(|problem, op, right| {
            projected(problem, op, right, |g, problem, s| {
                let a = problem.matrix("lora_A", 0, 0);
                let gram = a.dot(&a.t()).mapv(in_bf16); // [r, in]·[in, r] → [r, r]
                let inverse = inverse(gram).mapv(in_bf16);
                Ok(g.mapv(in_bf16).dot(&inverse).mapv(in_bf16) / (s * s))
            })
        }),
    )
    .seen("PEFT 0.21.2, measured: 2.5e-3 in the moments")
    .of(FA)
    .in_ops(GIVEN)
    .honest_in_bf16(),
];

/// The number in bf16.
pub(super) fn in_bf16(number: f64) -> f64 {
    bf16::from_f64(number).to_f64()
}

/// The inverse of a small positive definite matrix, by Gauss and Jordan.
fn inverse(mut matrix: Array2<f64>) -> Array2<f64> {
    let mut inverse = Array2::eye(matrix.nrows());
    for j in 0..matrix.nrows() {
        let pivot = matrix[[j, j]];
        let (row, of_inverse) = (&matrix.row(j) / pivot, &inverse.row(j) / pivot);
        for i in 0..matrix.nrows() {
            let factor = matrix[[i, j]];
            if i == j {
                matrix.row_mut(i).assign(&row);
                inverse.row_mut(i).assign(&of_inverse);
            } else {
                matrix.row_mut(i).scaled_add(-factor, &row);
                inverse.row_mut(i).scaled_add(-factor, &of_inverse);
            }
        }
    }
    inverse
}

/// ĝ.
fn exact(g: &Array2<f64>, problem: &Problem) -> Result<Array2<f64>> {
    let direction = problem.layer()?.direction(&g.clone().into_dyn())?;
    direction.into_dimensionality().map_err(wrong)
}

/// Another projection: `make` of g, the problem and s.
fn projected(
    problem: &Problem,
    op: Op,
    right: &[Output],
    make: fn(&Array2<f64>, &Problem, f64) -> Result<Array2<f64>>,
) -> Result<Option<Vec<Output>>> {
    if problem.params.variant != Variant::Projected {
        return Ok(None);
    }
    let gradient: Option<ArrayD<f64>> = match op {
        Op::Backward => named(right, "grad_lora_B").map(|output| output.value.clone()),
        _ => problem.inputs.get("grad_lora_B").cloned(),
    };
    let Some(gradient) = gradient else { return Ok(None) };
    let gradient = gradient.into_dimensionality().map_err(wrong)?;
    let value = make(&gradient, problem, problem.scale()?)?.into_dyn();
    if op == Op::Backward {
        // An error of ĝ is an error of this, larger by as much as this is larger.
        let largest = |array: &ArrayD<f64>| array.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        let right_one = named(right, "projected_grad_lora_B").map(|output| largest(&output.value));
        let larger = largest(&value) / right_one.unwrap_or(1.0);
        let times = 2.0 * if larger.is_finite() { larger.max(1.0) } else { 1.0 };
        return Ok(Some(with_value(right, "projected_grad_lora_B", value, times)));
    }
    let step = changed(problem, op, |problem| {
        problem.params.variant = Variant::Plain;
        problem.inputs.change("grad_lora_B", |g| *g = value)
    })?;
    // The plain step's bound has no error of the projection in it: that of the right step has.
    let widen = |output: Output| {
        let Some(right) = named(right, &output.name) else { return output };
        let (own, right) = (output.bound.clone(), right.bound.clone());
        Output { bound: Arc::new(move |units: &_| own(units) + right(units)), ..output }
    };
    Ok(step.map(|outputs| outputs.into_iter().map(widen).collect()))
}
