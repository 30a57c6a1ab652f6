//! Which tensors a case may have, and the shape that the others leave each of them.

use std::collections::BTreeMap;

use lora_fa::Variant;

use crate::case::metadata::Case;
use crate::case::method::Method;
use crate::case::op::Op;
use crate::case::params::Params;
use crate::error::{Result, wrong};

/// A dimension that several tensors share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Axis {
    In,
    Out,
    Rank,
    /// Of step t of a trajectory.
    Tokens(u64),
}

impl Axis {
    pub fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Rank => "r",
            Self::Tokens(_) => "tokens",
        }
    }
}

/// A tensor that a case may have.
pub(super) struct InputSpec {
    /// Without `in.`.
    pub name: String,
    pub axes: Vec<Axis>,
    pub required: bool,
    /// VeRA's shared A and B may be larger than the layer.
    pub at_least: bool,
}

fn axes_of(name: &str) -> Vec<Axis> {
    match name {
        "lora_A" | "vera_A" => vec![Axis::Rank, Axis::In],
        "lora_B" | "vera_B" => vec![Axis::Out, Axis::Rank],
        "vera_lambda_d" => vec![Axis::Rank],
        "vera_lambda_b" | "bias" | "lora_magnitude_vector" => vec![Axis::Out],
        _ => vec![Axis::Out, Axis::In],
    }
}

/// The tensors that a case may have; those that fix the dimensions first.
pub(super) fn input_specs(case: &Case, params: &Params) -> Vec<InputSpec> {
    let (method, op) = (case.method, case.op);
    let mut list = Vec::new();
    let mut add = |name: &str, axes: Vec<Axis>, required: bool| {
        let at_least = name == "vera_A" || name == "vera_B";
        list.push(InputSpec { name: name.to_owned(), axes, required, at_least });
    };
    let layer = !matches!(op, Op::Init | Op::Step);
    let adam = params.optimizer.adamw.is_some();

    let mut weight = vec![Axis::Out, Axis::In];
    if params.fan_in_fan_out {
        weight.reverse();
    }
    match op {
        Op::Init => {}
        Op::Step => add("weight", weight, method == Method::DeltaLora),
        _ => add("weight", weight, true),
    }
    for name in method.trained() {
        if op != Op::Init {
            add(name, axes_of(name), true);
        }
        if op == Op::Step {
            add(&format!("grad_{name}"), axes_of(name), true);
        }
        if adam && matches!(op, Op::Step | Op::Trajectory) {
            add(&format!("exp_avg.{name}"), axes_of(name), false);
            add(&format!("exp_avg_sq.{name}"), axes_of(name), false);
        }
    }
    match method {
        Method::LoraFa if op != Op::Init => {
            let projected = op == Op::Step && params.variant == Variant::Projected;
            add("lora_A", axes_of("lora_A"), layer || projected);
        }
        Method::Vera if op != Op::Init => {
            add("vera_A", axes_of("vera_A"), layer);
            add("vera_B", axes_of("vera_B"), layer);
        }
        _ => {}
    }
    if layer {
        add("bias", axes_of("bias"), false);
    }
    let reads_x = match op {
        Op::Forward | Op::Backward => 1,
        Op::Trajectory => params.steps,
        _ => 0,
    };
    let masked = method != Method::DeltaLora;
    let dropout = params.dropout_p > 0.0;
    if dropout && reads_x == 0 {
        // p > 0 without a mask is refused, and an op without x has none.
        add("dropout_mask", vec![Axis::Tokens(0), Axis::In], true);
    }
    if masked && op == Op::Trajectory {
        add("dropout_mask", vec![Axis::Tokens(0), Axis::In], false);
    }
    for step in 0..reads_x {
        let (tokens, suffix) = match op {
            Op::Trajectory => (Axis::Tokens(step), format!(".{step}")),
            _ => (Axis::Tokens(0), String::new()),
        };
        add(&format!("x{suffix}"), vec![tokens, Axis::In], true);
        if op != Op::Forward {
            add(&format!("grad_y{suffix}"), vec![tokens, Axis::Out], true);
        }
        if masked {
            let required = dropout && op != Op::Trajectory;
            add(&format!("dropout_mask{suffix}"), vec![tokens, Axis::In], required);
        }
    }
    list
}

/// The size of each dimension, and the tensor that it was seen in first.
pub(super) type Sizes = BTreeMap<Axis, (usize, String)>;

/// `Ok` if the shape fits the sizes known so far. New sizes are entered.
pub(super) fn check_shape(
    name: &str,
    shape: &[usize],
    axes: &[Axis],
    at_least: bool,
    sizes: &mut Sizes,
) -> Result<()> {
    let letters: Vec<_> = axes.iter().map(|axis| axis.name()).collect();
    let letters = letters.join(", ");
    if shape.len() != axes.len() {
        let dimensions = axes.len();
        return Err(wrong(format!(
            "{name} has shape {shape:?} where [{letters}], {dimensions} dimensions, is needed"
        )));
    }
    let fits = |size: usize, known: usize| if at_least { size >= known } else { size == known };
    let known: Vec<_> = axes.iter().map(|axis| sizes.get(axis)).collect();
    if let Some(i) = (0..shape.len()).find(|&i| known[i].is_some_and(|k| !fits(shape[i], k.0))) {
        let want: Vec<_> = (0..shape.len()).map(|i| known[i].map_or(shape[i], |k| k.0)).collect();
        let (from, axis) = (&known[i].expect("found").1, axes[i].name());
        let least = if at_least { "at least " } else { "" };
        return Err(wrong(format!(
            "{name} has shape {shape:?} where {least}{want:?} is needed ([{letters}], with {axis} from {from})"
        )));
    }
    for (axis, &size) in axes.iter().zip(shape) {
        if !at_least {
            sizes.entry(*axis).or_insert_with(|| (size, format!("{name} {shape:?}")));
        }
    }
    Ok(())
}
