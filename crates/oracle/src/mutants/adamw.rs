//! AdamW: its two variants, its bias corrections, its ε and its decay.

use adapter::AdamVariant;

use super::change::put;
use super::mutant::Change::OfProblem;
use super::mutant::{Mutant, UPDATES};
use crate::case::Method;
use crate::ops::{AdamConstants, Problem};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "adamw-always-hf",
        "AdamW's variant hf where torch is asked for: ε before the bias correction, decay last",
        OfProblem(|problem, _| is(problem, AdamVariant::Hf)),
    )
    .in_ops(UPDATES),
    Mutant::new(
        "adamw-always-torch",
        "AdamW's variant torch where hf is asked for: ε after the bias correction, decay first",
        OfProblem(|problem, _| is(problem, AdamVariant::Torch)),
    )
    .in_ops(UPDATES),
    Mutant::new(
        "epsilon-in-root",
        "√(v + ε) in the place of √v + ε",
        OfProblem(|problem, _| slip(problem, |constants| constants.eps_in_root = true)),
    )
    .in_ops(UPDATES),
    Mutant::new(
        "bias-correction-missing",
        "AdamW without its bias corrections",
        OfProblem(|problem, _| {
            shift(problem, 1 << 40);
            adamw(problem)
        }),
    )
    .in_ops(UPDATES),
    Mutant::new(
        "first-correction-missing",
        "m without its bias correction: not divided by 1 − β₁ᵗ",
        OfProblem(|problem, _| slip(problem, |constants| constants.rate *= constants.biases[0])),
    )
    .in_ops(UPDATES),
    Mutant::new(
        "second-correction-missing",
        "v without its bias correction: not divided by 1 − β₂ᵗ",
        OfProblem(|problem, _| {
            slip(problem, |constants| {
                constants.rate = constants.lr / constants.biases[0];
                constants.root_bias = 1.0;
            })
        }),
    )
    .in_ops(UPDATES),
    Mutant::new(
        "t-off-by-one",
        "t one too large in AdamW's bias corrections",
        OfProblem(|problem, _| {
            shift(problem, 1);
            adamw(problem)
        }),
    )
    .in_ops(UPDATES),
    Mutant::new(
        "t-too-small",
        "t one too small: the number of updates before this one",
        OfProblem(|problem, _| {
            let start = &mut problem.params.delta.start_step;
            *start = start.saturating_add(1);
            let counts = problem.method == Method::DeltaLora;
            slip(problem, |constants| constants.at(constants.t - 1.0)) | counts
        }),
    )
    .in_ops(UPDATES),
    Mutant::new(
        "t-too-small-in-corrections",
        "t one too small in AdamW's bias corrections alone: the start of W's move counts it right",
        OfProblem(|problem, _| slip(problem, |constants| constants.at(constants.t - 1.0))),
    )
    .of(&[Method::DeltaLora])
    .in_ops(UPDATES),
    Mutant::new(
        "betas-swapped",
        "β₁ and β₂ the other way round",
        OfProblem(|problem, _| {
            let Some((_, betas, _)) = &mut problem.params.optimizer.adamw else { return false };
            let swapped = (betas.1, betas.0);
            put(betas, swapped)
        }),
    )
    .in_ops(UPDATES),
    Mutant::new(
        "decay-coupled",
        "decay added to the gradient: Adam with L2 in the place of AdamW",
        OfProblem(|problem, _| {
            problem.slips.coupled = true;
            adamw(problem) && problem.params.optimizer.group.weight_decay > 0.0
        }),
    )
    .in_ops(UPDATES),
    Mutant::new(
        "decay-default",
        "the decay of the configuration ignored: PyTorch's 0.01 in its place",
        OfProblem(|problem, _| {
            adamw(problem) && put(&mut problem.params.optimizer.group.weight_decay, 0.01)
        }),
    )
    .in_ops(UPDATES),
];

fn adamw(problem: &Problem) -> bool {
    problem.params.optimizer.adamw.is_some()
}

/// This variant; false if it was that, or is not AdamW.
fn is(problem: &mut Problem, wanted: AdamVariant) -> bool {
    problem.params.optimizer.adamw.as_mut().is_some_and(|(variant, ..)| put(variant, wanted))
}

/// Other numbers to compute with. False if it is not AdamW.
fn slip(problem: &mut Problem, change: fn(&mut AdamConstants)) -> bool {
    problem.slips.adamw = Some(change);
    adamw(problem)
}

/// t later, and Delta-LoRA's start with it: only the bias corrections change.
fn shift(problem: &mut Problem, steps: u64) {
    problem.params.start += steps;
    let start = &mut problem.params.delta.start_step;
    *start = start.saturating_add(steps);
}
