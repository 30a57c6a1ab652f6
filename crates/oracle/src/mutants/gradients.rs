//! A backward pass that is wrong where the forward pass is right.

use std::sync::Arc;

use super::change::{factor, mixed, scale_of_one};
use super::mutant::Change::OfOutputs;
use super::mutant::{MASKED, Mutant, SCALED};
use crate::case::{Method, Op};
use crate::ops::{Output, Problem, lengths};

const BACKWARD: &[Op] = &[Op::Backward];

fn of_parameters(name: &str) -> bool {
    name.starts_with("grad_") && name != "grad_x"
}

fn of_x(name: &str) -> bool {
    name == "grad_x"
}

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "gradients-without-scale",
        "s left out of the gradients of A and B",
        OfOutputs(|problem, op, right| match problem.method {
            Method::Dora => Ok(unscaled(problem, right)),
            _ => mixed(problem, op, right, of_parameters, scale_of_one),
        }),
    )
    .of(SCALED)
    .in_ops(BACKWARD)
    .never_alone(),
    Mutant::new(
        "gradients-from-undropped-x",
        "gradients of the parameters from x in the place of x̃",
        OfOutputs(|problem, op, right| {
            mixed(problem, op, right, of_parameters, |problem| problem.inputs.remove_masks())
        }),
    )
    .of(MASKED)
    .in_ops(BACKWARD)
    .never_alone(),
    Mutant::new(
        "gradients-averaged",
        "gradients of the parameters averaged over the tokens, not summed",
        OfOutputs(|problem, _, right| {
            let tokens = problem.matrix("x", 0, 0).nrows();
            let average = |output: &Output| {
                let mut output = output.clone();
                if of_parameters(&output.name) {
                    output.value /= tokens as f64;
                }
                output
            };
            Ok((tokens > 1).then(|| right.iter().map(average).collect()))
        }),
    )
    .in_ops(BACKWARD),
    Mutant::new(
        "grad-x-unmasked",
        "the mask left out on the way back to x",
        OfOutputs(|problem, op, right| {
            mixed(problem, op, right, of_x, |problem| problem.inputs.remove_masks())
        }),
    )
    .of(MASKED)
    .in_ops(BACKWARD),
    Mutant::new(
        "grad-x-without-adapter",
        "the adapter sends nothing back to x",
        OfOutputs(|problem, op, right| {
            mixed(problem, op, right, of_x, |problem| match problem.method {
                Method::Dora => without_adapter(problem),
                _ => factor(problem, 0.0),
            })
        }),
    )
    .in_ops(BACKWARD),
    Mutant::new(
        "grad-x-without-base",
        "the frozen weight sends nothing back to x: cut off, and not only frozen",
        OfOutputs(|problem, op, right| match problem.method {
            Method::Dora => Ok(Some(without_base(problem, right))),
            _ => mixed(problem, op, right, of_x, |problem| {
                problem.inputs.change("weight", |weight| weight.fill(0.0))
            }),
        }),
    )
    .in_ops(BACKWARD),
];

/// DoRA's gradients of A and B divided by s, which is in its norm as well.
fn unscaled(problem: &Problem, right: &[Output]) -> Option<Vec<Output>> {
    let scale = problem.scale().ok().filter(|scale| *scale != 0.0 && *scale != 1.0)?;
    let divided = |output: &Output| match output.name.as_str() {
        "grad_lora_A" | "grad_lora_B" => {
            let (value, bound) = (&output.value / scale, output.bound.clone());
            let bound = Arc::new(move |units: &_| bound(units) / scale.abs());
            Output { value, bound, ..output.clone() }
        }
        _ => output.clone(),
    };
    Some(right.iter().map(divided).collect())
}

/// B = 0 and m = ‖W‖: DoRA as it starts.
fn without_adapter(problem: &mut Problem) -> bool {
    let norms = lengths(&problem.weight());
    let some = norms.iter().all(|norm| *norm > 0.0);
    problem.inputs.set("lora_magnitude_vector", norms.into_dyn());
    some && problem.inputs.change("lora_B", |b| b.fill(0.0))
}

/// ∂L/∂x without g W, the frozen term's own.
fn without_base(problem: &Problem, right: &[Output]) -> Vec<Output> {
    let of_base = problem.matrix("grad_y", 0, 0).dot(&problem.weight()).into_dyn();
    let less = |output: &Output| match of_x(&output.name) {
        true => Output { value: &output.value - &of_base, ..output.clone() },
        false => output.clone(),
    };
    right.iter().map(less).collect()
}
