//! A backward pass that is wrong where the forward pass is right.

use super::change::{factor, mixed, scale_of_one};
use super::mutant::Change::OfOutputs;
use super::mutant::{MASKED, Mutant, SCALED};
use crate::case::Op;
use crate::ops::Output;

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
        OfOutputs(|problem, op, right| mixed(problem, op, right, of_parameters, scale_of_one)),
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
            mixed(problem, op, right, of_x, |problem| factor(problem, 0.0))
        }),
    )
    .in_ops(BACKWARD),
    Mutant::new(
        "grad-x-without-base",
        "the frozen weight sends nothing back to x: cut off, and not only frozen",
        OfOutputs(|problem, op, right| {
            mixed(problem, op, right, of_x, |problem| {
                problem.inputs.change("weight", |weight| weight.fill(0.0))
            })
        }),
    )
    .in_ops(BACKWARD),
];
