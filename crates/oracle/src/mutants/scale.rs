//! s, and what it multiplies.

use lora::Scaling;
use ndarray::ArrayD;

use super::change::{factor, named, put, scale_of_one, with_value};
use super::mutant::Change::{OfOutputs, OfProblem};
use super::mutant::{ADDED, ADDED_SCALED, LAYER, MERGES, Mutant, PASSES, SCALED};
use super::projected_gradient::in_bf16;
use crate::case::Op;

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "alpha-for-scale",
        "α in the place of α/r",
        OfProblem(|problem, _| {
            let rank = problem.inputs.dims.rank as f64;
            problem.params.scaling == Scaling::AlphaOverR && factor(problem, rank)
        }),
    )
    .seen("mlx-vlm #845")
    .of(SCALED),
    Mutant::new(
        "rslora-ignored",
        "α/r in the place of α/√r: rank stabilisation ignored",
        OfProblem(|problem, _| put(&mut problem.params.scaling, Scaling::AlphaOverR)),
    )
    .seen("vLLM #10798, sglang #40835, TensorRT-LLM #1668, PEFT #2733")
    .of(SCALED),
    Mutant::new(
        "rslora-always",
        "α/√r in the place of α/r",
        OfProblem(|problem, _| put(&mut problem.params.scaling, Scaling::RsLora)),
    )
    .of(SCALED),
    Mutant::new(
        "scale-twice",
        "s applied twice",
        OfProblem(|problem, _| {
            let scale = problem.scale().unwrap_or(1.0);
            factor(problem, scale)
        }),
    )
    .of(SCALED),
    Mutant::new("scale-missing", "s not applied", OfProblem(|problem, _| scale_of_one(problem)))
        .of(SCALED)
        .in_ops(LAYER),
    Mutant::new(
        "base-scaled",
        "the frozen term scaled by s too",
        OfProblem(|problem, _| {
            let scale = problem.scale().unwrap_or(1.0);
            let times = |tensor: &mut ArrayD<f64>| *tensor *= scale;
            scale != 1.0
                && problem.inputs.change("weight", times) | problem.inputs.change("bias", times)
        }),
    )
    .seen("candle-lora (loralinear.rs)")
    .of(ADDED_SCALED)
    .in_ops(LAYER),
    Mutant::new(
        "bias-missing",
        "the bias left out",
        OfProblem(|problem, _| problem.inputs.change("bias", |bias| bias.fill(0.0))),
    )
    .in_ops(PASSES),
    Mutant::new(
        "bias-scaled",
        "the bias scaled by s, as if it were the adapter's",
        OfProblem(|problem, _| {
            let scale = problem.scale().unwrap_or(1.0);
            scale != 1.0 && problem.inputs.change("bias", |bias| *bias *= scale)
        }),
    )
    .of(SCALED)
    .in_ops(PASSES),
    Mutant::new(
        "adapter-missing",
        "the low-rank term left out",
        OfProblem(|problem, _| factor(problem, 0.0)),
    )
    .in_ops(LAYER),
    Mutant::new(
        "delta-sign",
        "ΔW with the wrong sign",
        OfProblem(|problem, _| factor(problem, -1.0)),
    )
    .in_ops(LAYER),
    Mutant::new("merged-twice", "ΔW added twice", OfProblem(|problem, _| factor(problem, 2.0)))
        .seen("PEFT #1355")
        .of(ADDED)
        .in_ops(MERGES),
    Mutant::new(
        "merged-and-added",
        "the merged weight used, and the adapter added to it again",
        OfProblem(|problem, _| factor(problem, 2.0)),
    )
    .seen("candle-lora #26")
    .of(ADDED)
    .in_ops(&[Op::Forward]),
    Mutant::new(
        "scale-floored",
        "α/r as a whole number: integer division",
        OfProblem(|problem, _| {
            let scale = problem.scale().unwrap_or(1.0);
            problem.params.scaling == Scaling::AlphaOverR && factor(problem, scale.floor() / scale)
        }),
    )
    .of(SCALED)
    .in_ops(LAYER),
    Mutant::new(
        "alpha-default",
        "α of the configuration ignored: 8 in its place",
        OfProblem(|problem, _| put(&mut problem.params.alpha, 8.0)),
    )
    .of(SCALED),
    Mutant::new(
        "merge-in-bf16",
        "W + ΔW rounded to bf16",
        OfOutputs(|_, _, right| {
            Ok(named(right, "weight")
                .map(|weight| with_value(right, "weight", weight.value.mapv(in_bf16), 1.0)))
        }),
    )
    .seen("PEFT #1388, #2502: the base's format takes 18.5% of a small ΔW")
    .in_ops(MERGES)
    .honest_in_bf16(),
    Mutant::new(
        "merge-in-bf16-twice",
        "ΔW rounded to bf16, and then the sum",
        OfOutputs(|problem, _, right| {
            let Some(weight) = named(right, "weight") else { return Ok(None) };
            let before = problem.stored_weight();
            let delta = (&weight.value - &before).mapv(in_bf16);
            let value = (before + delta).mapv(in_bf16);
            Ok(Some(with_value(right, "weight", value, 1.0)))
        }),
    )
    .seen("PEFT's safe_merge")
    .in_ops(MERGES)
    .honest_in_bf16(),
];
