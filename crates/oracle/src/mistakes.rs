//! Mistakes that were made: each is a change of the problem that is computed. The projects and numbers say where.

use lora::Scaling;
use lora_fa::Variant;
use ndarray::ArrayD;

use crate::case::{Method, Op};
use crate::inputs::{trained, turned};
use crate::layer::Problem;

/// Puts a mistake into the problem; false if it would change nothing.
pub(crate) type Change = fn(&mut Problem, Op) -> bool;

fn factor(problem: &mut Problem, factor: f64) -> bool {
    problem.scale_factor = factor;
    problem.method != Method::Vera && factor.is_finite() && factor != 1.0
}

fn adamw(problem: &Problem, op: Op) -> bool {
    matches!(op, Op::Step | Op::Trajectory) && problem.params.optimizer.adamw.is_some()
}

/// Replace a parameter; false if it was that before.
fn put<T: PartialEq>(place: &mut T, value: T) -> bool {
    let changed = *place != value;
    *place = value;
    changed
}

/// In the order in which they are tried; of two that explain as much, the first is named.
pub(crate) const MISTAKES: &[(&str, Change)] = &[
    ("α in the place of α/r, as in mlx-vlm #845", |problem, _| {
        let rank = problem.inputs.dims.rank as f64;
        problem.params.scaling == Scaling::AlphaOverR && factor(problem, rank)
    }),
    (
        "α/r in the place of α/√r: rank stabilisation ignored, as in vLLM #10798 and sglang #40835",
        |problem, _| put(&mut problem.params.scaling, Scaling::AlphaOverR),
    ),
    ("α/√r in the place of α/r", |problem, _| {
        put(&mut problem.params.scaling, Scaling::RsLora)
    }),
    ("s applied twice", |problem, _| {
        let scale = problem.scale().unwrap_or(1.0);
        factor(problem, scale)
    }),
    ("s not applied", |problem, op| {
        let scale = problem.scale().unwrap_or(1.0);
        op != Op::Step && factor(problem, 1.0 / scale)
    }),
    ("the frozen term scaled by s too, as in candle-lora", |problem, _| {
        let scale = problem.scale().unwrap_or(1.0);
        let times = |tensor: &mut ArrayD<f64>| *tensor *= scale;
        scale != 1.0
            && problem.inputs.change("weight", times) | problem.inputs.change("bias", times)
    }),
    ("the dropout mask not applied", |problem, _| problem.inputs.drop_masks()),
    ("kept values not divided by 1 − p", |problem, _| put(&mut problem.params.dropout_p, 0.0)),
    ("the bias left out", |problem, _| problem.inputs.change("bias", |bias| bias.fill(0.0))),
    ("W used the other way round (fan_in_fan_out)", |problem, _| {
        let square = problem.inputs.dims.inputs == problem.inputs.dims.outputs;
        square && problem.inputs.change("weight", |weight| *weight = turned(weight))
    }),
    ("the low-rank term left out", |problem, op| match problem.method {
        _ if op == Op::Step => false,
        Method::Vera => problem.inputs.change("vera_lambda_b", |b| b.fill(0.0)),
        _ => factor(problem, 0.0),
    }),
    ("λ_b not applied: B alone, as in peft-rs", |problem, _| {
        problem.inputs.change("vera_lambda_b", |b| b.fill(1.0))
    }),
    ("λ_d not applied", |problem, _| problem.inputs.change("vera_lambda_d", |d| d.fill(1.0))),
    ("8/r applied inside VeRA, which has no α, as in MyTransformers", |problem, _| {
        let scale = 8.0 / problem.inputs.dims.rank as f64;
        problem.inputs.change("vera_lambda_b", |b| *b *= scale)
    }),
    ("ΔW with the wrong sign", |problem, _| factor(problem, -1.0)),
    ("ΔW added twice, as in loralib #34", |problem, op| {
        matches!(op, Op::Merge | Op::Unmerge) && factor(problem, 2.0)
    }),
    (
        "W starts to move one update late: the first only takes a snapshot, as in MyTransformers",
        |problem, _| {
            let delta = &mut problem.params.delta;
            delta.start_step = delta.start_step.saturating_add(1);
            problem.method == Method::DeltaLora
        },
    ),
    ("W starts to move one update early", |problem, _| {
        let delta = &mut problem.params.delta;
        let earlier = delta.start_step.saturating_sub(1);
        problem.method == Method::DeltaLora && put(&mut delta.start_step, earlier)
    }),
    ("W does not move", |problem, _| {
        problem.method == Method::DeltaLora && put(&mut problem.params.delta.lambda, 0.0)
    }),
    ("include_scale the other way round in W's move", |problem, _| {
        problem.params.delta.include_scale ^= true;
        problem.method == Method::DeltaLora
    }),
    ("the plain gradient in the place of the projected one", |problem, _| {
        problem.method == Method::LoraFa && put(&mut problem.params.variant, Variant::Plain)
    }),
    ("s = 1 in the projection: one scale for all layers, as in PEFT #3315", |problem, _| {
        let scale = problem.scale().unwrap_or(1.0);
        problem.params.variant == Variant::Projected && factor(problem, 1.0 / scale)
    }),
    ("one learning rate for A and B: LoRA+'s ratio not applied", |problem, _| {
        problem.method == Method::LoraPlus && put(&mut problem.params.optimizer.lr_ratio, 1.0)
    }),
    ("weight decay ignored, as in axolotl #4010", |problem, _| {
        put(&mut problem.params.optimizer.group.weight_decay, 0.0)
    }),
    ("AdamW's other variant: where ε stands, and when decay happens", |problem, op| {
        let Some((variant, ..)) = &mut problem.params.optimizer.adamw else { return false };
        *variant = match variant {
            adapter::AdamVariant::Torch => adapter::AdamVariant::Hf,
            adapter::AdamVariant::Hf => adapter::AdamVariant::Torch,
        };
        adamw(problem, op)
    }),
    ("t starts from 0 again: steps already taken forgotten", |problem, _| {
        put(&mut problem.params.start, 0)
    }),
    ("t off by one in AdamW's bias corrections", |problem, op| {
        problem.params.start += 1;
        adamw(problem, op)
    }),
    ("AdamW's moments taken as 0", |problem, op| {
        let method = problem.method;
        let zero = |name: &&str| {
            let first = problem.inputs.change(&format!("exp_avg.{name}"), |m| m.fill(0.0));
            first | problem.inputs.change(&format!("exp_avg_sq.{name}"), |v| v.fill(0.0))
        };
        op == Op::Step && trained(method).iter().map(zero).fold(false, |a, b| a | b)
    }),
];
