//! Rates, decay and the state of an update, and LoRA+'s two groups.

use super::change::{mixed, put};
use super::mutant::Change::{OfOutputs, OfProblem};
use super::mutant::{Mutant, UPDATES};
use crate::case::{Method, Op};

const PLUS: &[Method] = &[Method::LoraPlus];
const STEP: &[Op] = &[Op::Step];

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "ratio-missing",
        "one learning rate for A and B: LoRA+'s ratio not applied",
        OfProblem(|problem, _| put(&mut problem.params.optimizer.lr_ratio, 1.0)),
    )
    .of(PLUS)
    .in_ops(UPDATES),
    Mutant::new(
        "ratio-on-a",
        "LoRA+'s ratio on A in the place of B",
        OfProblem(|problem, _| {
            let ratio = problem.params.optimizer.lr_ratio;
            problem.params.optimizer.group.lr *= ratio;
            put(&mut problem.params.optimizer.lr_ratio, 1.0 / ratio)
        }),
    )
    .of(PLUS)
    .in_ops(UPDATES),
    Mutant::new(
        "decay-at-base-rate",
        "B decays at the rate of A: LoRA+'s ratio left out of the decay",
        OfOutputs(|problem, op, right| {
            let of_b = |name: &str| name.starts_with("lora_B");
            mixed(problem, op, right, of_b, |problem| {
                let ratio = problem.params.optimizer.lr_ratio;
                let decay = &mut problem.params.optimizer.group.weight_decay;
                let less = *decay / ratio;
                put(decay, less)
            })
        }),
    )
    .of(PLUS)
    .in_ops(UPDATES),
    Mutant::new(
        "ratio-default",
        "LoRA+'s ratio of the configuration ignored: 16 in its place",
        OfProblem(|problem, _| put(&mut problem.params.optimizer.lr_ratio, 16.0)),
    )
    .of(PLUS)
    .in_ops(UPDATES),
    Mutant::new(
        "decay-missing",
        "weight decay ignored",
        OfProblem(|problem, _| put(&mut problem.params.optimizer.group.weight_decay, 0.0)),
    )
    .seen("axolotl #4010")
    .in_ops(UPDATES),
    Mutant::new(
        "decay-without-rate",
        "p (1 − λ) in the place of p (1 − η λ)",
        OfProblem(|problem, _| {
            let group = &mut problem.params.optimizer.group;
            let decay = group.weight_decay / group.lr;
            decay.is_finite() && put(&mut group.weight_decay, decay)
        }),
    )
    .in_ops(UPDATES),
    Mutant::new(
        "t-restarts",
        "t starts from 0 again: steps already taken forgotten",
        OfProblem(|problem, _| put(&mut problem.params.start, 0)),
    )
    .in_ops(STEP),
    Mutant::new(
        "moments-zero",
        "AdamW's moments taken as 0",
        OfProblem(|problem, _| {
            let mut had = false;
            for name in problem.method.trained() {
                had |= problem.inputs.change(&format!("exp_avg.{name}"), |m| m.fill(0.0));
                had |= problem.inputs.change(&format!("exp_avg_sq.{name}"), |v| v.fill(0.0));
            }
            had
        }),
    )
    .in_ops(STEP),
    Mutant::new(
        "gradient-sign",
        "the gradient with the wrong sign: uphill",
        OfProblem(|problem, _| {
            let turn = |name: &&str| problem.inputs.change(&format!("grad_{name}"), |g| *g *= -1.0);
            problem.method.trained().iter().map(turn).fold(false, |a, b| a | b)
        }),
    )
    .in_ops(STEP),
    Mutant::new(
        "never-trains",
        "B is given a gradient and never moves",
        OfProblem(|problem, _| put(&mut problem.params.optimizer.group.lr, 0.0)),
    )
    .seen("PEFT 0.21.2, LoRA-FA on embedding targets, measured")
    .of(&[Method::LoraFa])
    .in_ops(UPDATES),
];
