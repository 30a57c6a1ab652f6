//! The length that DoRA divides by, m, and what goes back through both.

use ndarray::{Array1, ArrayD, Axis};

use super::change::{named, put, with_value};
use super::mutant::Change::{NoRefusal, OfOutputs, OfProblem};
use super::mutant::{Mutant, PASS};
use crate::case::{Method, Op, transposed};
use crate::error::Result;
use crate::ops::{Formula, Output, Problem, evaluate, lengths};

const DORA: &[Method] = &[Method::Dora];
const LAYER: &[Op] = &[Op::Forward, Op::Backward, Op::Trajectory, Op::Merge];
const GRADIENTS: &[Op] = &[Op::Backward, Op::Trajectory];

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "norm-of-w",
        "the norm of W in the place of that of W + s B A",
        OfProblem(|problem, _| {
            let some = lengths(&problem.weight()).iter().all(|length| *length > 0.0);
            some && mistake(problem, |formula| formula.divide_by(lengths(&formula.weight)))
        }),
    )
    .seen("ComfyUI #15458")
    .of(DORA)
    .in_ops(LAYER),
    Mutant::new(
        "norm-without-scale",
        "s left out of the norm: that of W + B A",
        OfProblem(|problem, _| {
            let scale = problem.scale().unwrap_or(1.0);
            scale != 0.0
                && scale != 1.0
                && mistake(problem, |formula| {
                    let unscaled = &formula.low_rank / formula.scale;
                    formula.divide_by(lengths(&(&formula.weight + unscaled)));
                })
        }),
    )
    .of(DORA)
    .in_ops(LAYER),
    Mutant::new(
        "norm-of-columns",
        "the norm over the wrong axis, of columns: silent when square",
        OfProblem(|problem, _| {
            let square = problem.inputs.dims.inputs == problem.inputs.dims.outputs;
            square
                && mistake(problem, |formula| {
                    formula.divide_by(lengths(&formula.direction().t().to_owned()));
                })
        }),
    )
    .seen("LyCORIS #216; PEFT #1588, on Conv1D")
    .of(DORA)
    .in_ops(LAYER),
    Mutant::new(
        "norm-squared",
        "the norm without its root: Σ V² along a row",
        OfProblem(|problem, _| {
            mistake(problem, |formula| {
                let lengths = lengths(&formula.direction());
                formula.divide_by(&lengths * &lengths);
            })
        }),
    )
    .of(DORA)
    .in_ops(LAYER),
    Mutant::new(
        "norm-missing",
        "m alone: not divided by the norm",
        OfProblem(|problem, _| {
            mistake(problem, |formula| {
                formula.divide_by(Array1::ones(formula.magnitude.len()));
            })
        }),
    )
    .of(DORA)
    .in_ops(LAYER),
    Mutant::new(
        "norm-of-the-whole",
        "one norm for the whole matrix in the place of one for each row",
        OfProblem(|problem, _| {
            problem.inputs.dims.outputs > 1
                && mistake(problem, |formula| {
                    let lengths = lengths(&formula.direction());
                    let whole = lengths.dot(&lengths).sqrt();
                    formula.divide_by(Array1::from_elem(lengths.len(), whole));
                })
        }),
    )
    .of(DORA)
    .in_ops(LAYER),
    Mutant::new(
        "norm-with-epsilon",
        "10⁻⁶ added to the norm",
        OfProblem(|problem, _| {
            mistake(problem, |formula| formula.divide_by(lengths(&formula.direction()) + 1e-6))
        }),
    )
    .of(DORA)
    .in_ops(LAYER),
    Mutant::new(
        "magnitude-missing",
        "m not applied: LoRA's W + s B A",
        OfProblem(|problem, _| {
            mistake(problem, |formula| {
                let of_rows = |value| Array1::from_elem(formula.magnitude.len(), value);
                let (zeros, ones): (Array1<f64>, _) = (of_rows(0.0), of_rows(1.0));
                formula.of_weight.clone_from(&zeros);
                (formula.of_low_rank, formula.back) = (ones.clone(), ones);
                formula.to_magnitude = [zeros.clone(), zeros];
            })
        }),
    )
    .seen("unsloth-zoo before #828, in its merge")
    .of(DORA)
    .in_ops(LAYER),
    Mutant::new(
        "magnitude-on-the-adapter-alone",
        "only the low-rank term multiplied by m/‖V‖: (m/‖V‖ − 1) x̃ Wᵀ left out",
        OfProblem(|problem, _| {
            mistake(problem, |formula| {
                formula.of_weight.fill(0.0);
                formula.to_magnitude[0].fill(0.0);
            })
        }),
    )
    .of(DORA)
    .in_ops(LAYER),
    Mutant::new(
        "base-once-more",
        "x Wᵀ + m/‖V‖ x̃ Wᵀ: the − 1 left out, so that the frozen term counts once more",
        OfProblem(|problem, _| {
            mistake(problem, |formula| formula.of_weight.clone_from(&formula.of_low_rank))
        }),
    )
    .of(DORA)
    .in_ops(LAYER),
    Mutant::new(
        "bias-by-magnitude",
        "the bias multiplied by m/‖V‖ too",
        OfProblem(|problem, _| {
            let Ok(formula) = problem.formula() else { return false };
            let c = formula.of_low_rank.into_dyn();
            problem.inputs.change("bias", |bias| *bias *= &c)
        }),
    )
    .of(DORA)
    .in_ops(PASS),
    Mutant::new(
        "base-term-undropped",
        "x in the place of x̃ in (m/‖V‖ − 1) x̃ Wᵀ: no dropout in the frozen term's part",
        OfProblem(|problem, _| {
            problem.inputs.mask().is_some()
                && mistake(problem, |formula| formula.masks_weight = false)
        }),
    )
    .seen("fsdp_qlora #68")
    .of(DORA)
    .in_ops(PASS),
    Mutant::new(
        "gradient-through-the-norm",
        "gradients through a norm that is detached",
        OfProblem(|problem, _| put(&mut problem.params.detach_norm, false)),
    )
    .of(DORA)
    .in_ops(GRADIENTS),
    Mutant::new(
        "norm-held-constant",
        "the norm detached where gradients go through it",
        OfProblem(|problem, _| put(&mut problem.params.detach_norm, true)),
    )
    .of(DORA)
    .in_ops(GRADIENTS),
    Mutant::new(
        "magnitude-gradient-without-norm",
        "∂L/∂m not divided by the norm",
        OfProblem(|problem, _| {
            mistake(problem, |formula| {
                formula.to_magnitude.iter_mut().for_each(|inverse| inverse.fill(1.0));
            })
        }),
    )
    .of(DORA)
    .in_ops(GRADIENTS)
    .never_alone(),
    Mutant::new(
        "magnitude-gradient-scaled",
        "∂L/∂m from what was multiplied by m/‖V‖ already",
        OfProblem(|problem, _| {
            mistake(problem, |formula| {
                let c = formula.of_low_rank.clone();
                formula.to_magnitude.iter_mut().for_each(|inverse| *inverse *= &c);
            })
        }),
    )
    .seen("axolotl #3528, in its review")
    .of(DORA)
    .in_ops(GRADIENTS)
    .never_alone(),
    Mutant::new(
        "magnitude-gradient-of-the-adapter",
        "∂L/∂m from the low-rank term alone",
        OfProblem(|problem, _| mistake(problem, |formula| formula.to_magnitude[0].fill(0.0))),
    )
    .of(DORA)
    .in_ops(GRADIENTS)
    .never_alone(),
    Mutant::new(
        "gradients-without-magnitude",
        "LoRA's gradients of A and B: m/‖V‖ left out of them",
        OfProblem(|problem, _| mistake(problem, |formula| formula.back.fill(1.0))),
    )
    .of(DORA)
    .in_ops(GRADIENTS)
    .never_alone(),
    Mutant::new(
        "magnitude-along-columns",
        "m along columns, divided by the norms of rows: silent when square",
        OfOutputs(|problem, _, right| {
            let square = problem.inputs.dims.inputs == problem.inputs.dims.outputs;
            if !square { Ok(None) } else { along_columns(problem, right) }
        }),
    )
    .seen("ComfyUI #12938")
    .of(DORA)
    .in_ops(&[Op::Merge]),
    Mutant::new("merged-again", "a merged weight merged once more", OfOutputs(merged_again))
        .of(DORA)
        .in_ops(&[Op::Merge]),
    Mutant::new(
        "unmerged-from-merged",
        "a merge undone from the merged weight, which does not say what the norms were",
        NoRefusal,
    )
    .of(DORA)
    .in_ops(&[Op::Unmerge]),
    Mutant::new(
        "magnitude-frozen",
        "m is given a gradient and never moves",
        OfOutputs(|problem, _, right| {
            let before = problem.inputs.get("lora_magnitude_vector").cloned();
            Ok(before.map(|before| with_value(right, "lora_magnitude_vector", before, 1.0)))
        }),
    )
    .of(DORA)
    .in_ops(&[Op::Step]),
];

fn mistake(problem: &mut Problem, change: fn(&mut Formula)) -> bool {
    problem.mistake = Some(change);
    true
}

/// V ⊙ m_j/n_i.
fn along_columns(problem: &Problem, right: &[Output]) -> Result<Option<Vec<Output>>> {
    let formula = problem.formula()?;
    let turned = &formula.direction() * &formula.magnitude; // m along the last axis
    let inverse = formula.to_magnitude[1].clone().insert_axis(Axis(1));
    let value = (turned * &inverse).into_dyn();
    let value = if problem.params.fan_in_fan_out { transposed(&value) } else { value };
    Ok(replaced(right, value))
}

fn merged_again(problem: &Problem, op: Op, right: &[Output]) -> Result<Option<Vec<Output>>> {
    let Some(merged) = named(right, "weight") else { return Ok(None) };
    let fan = problem.params.fan_in_fan_out;
    let merged = if fan { transposed(&merged.value) } else { merged.value.clone() };
    let mut again = problem.clone();
    again.inputs.set("weight", merged);
    let outputs = evaluate(op, &again)?;
    Ok(named(&outputs, "weight").and_then(|twice| replaced(right, twice.value.clone())))
}

/// The merged weight replaced by another: it may be off by as much more as it is larger, twice to be safe.
fn replaced(right: &[Output], value: ArrayD<f64>) -> Option<Vec<Output>> {
    let largest = |array: &ArrayD<f64>| array.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    let larger = largest(&value) / largest(&named(right, "weight")?.value);
    let times = 2.0 * if larger.is_finite() { larger.max(1.0) } else { 1.0 };
    Some(with_value(right, "weight", value, times))
}
