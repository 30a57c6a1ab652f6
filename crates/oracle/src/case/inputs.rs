//! The `in.` tensors of a case, as `f64`, each with the shape that the others leave it.

use std::collections::BTreeMap;
use std::sync::Arc;

use adapter::Dropout;
use lora_fa::Variant;
use ndarray::{Array1, Array2, ArrayD, Axis as NdAxis};

use crate::case::params::Params;
use crate::case::{Case, Method, Op};
use crate::error::wrong;
use crate::{Result, TensorFile};

/// No array is larger than this: 2²⁸ numbers, 2 GiB.
pub(crate) const MOST: u128 = 1 << 28;

/// A dimension that several tensors share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Axis {
    In,
    Out,
    Rank,
    /// Of step t of a trajectory.
    Tokens(u64),
}

impl Axis {
    fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Rank => "r",
            Self::Tokens(_) => "tokens",
        }
    }
}

/// A tensor that a case may have.
struct Wanted {
    name: String,
    axes: Vec<Axis>,
    needed: bool,
    /// VeRA's shared projections may be larger than the layer.
    at_least: bool,
}

/// in, out and r.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dims {
    pub inputs: usize,
    pub outputs: usize,
    pub rank: usize,
}

/// The inputs of a case.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    pub dims: Dims,
    /// Without `in.`; `weight` is \[out, in\] whatever the file has.
    tensors: BTreeMap<String, ArrayD<f64>>,
    masks: BTreeMap<String, Array2<u8>>,
    /// States that the case itself gives, `out.lora_A.3` for example, without `out.`.
    pub states: BTreeMap<String, ArrayD<f64>>,
}

impl Inputs {
    /// Read and check.
    ///
    /// # Errors
    /// A tensor is missing, unknown, or has a shape that does not fit the others: both shapes are named.
    pub fn read(case: &Case, file: &TensorFile) -> Result<Self> {
        let params = case.params()?;
        let (steps, there) = (params.steps, file.tensors.len() as u64);
        if steps > there {
            return Err(wrong(format!("params.steps is {steps} and there are {there} tensors")));
        }
        let wanted = wanted(case, params);
        for name in file.tensors.keys() {
            let known = name.starts_with("out.") || name.starts_with("gauge.");
            if !known && !wanted.iter().any(|wanted| *name == format!("in.{}", wanted.name)) {
                let names: Vec<_> = wanted.iter().map(|wanted| wanted.name.as_str()).collect();
                let (method, op) = (case.method, case.op);
                let names = names.join(", in.");
                return Err(wrong(format!(
                    "{name} is unknown to {method}/{op}: it takes in.{names}"
                )));
            }
        }
        let mut sizes = BTreeMap::<Axis, (usize, String)>::new();
        let (mut tensors, mut masks) = (BTreeMap::new(), BTreeMap::new());
        for Wanted { name, axes, needed, at_least } in &wanted {
            let full = format!("in.{name}");
            let Some(tensor) = file.tensors.get(&full) else {
                if *needed {
                    let names: Vec<_> = axes.iter().map(|axis| axis.name()).collect();
                    return Err(wrong(format!("{full} [{}] is missing", names.join(", "))));
                }
                continue;
            };
            check(&full, &tensor.shape, axes, *at_least, &mut sizes)?;
            let named = |error| wrong(format!("{full} {error}"));
            if name.starts_with("dropout_mask") {
                let mask = tensor.to_mask().map_err(named)?;
                Dropout::new(mask.clone(), 0.0)
                    .map_err(|error| wrong(format!("{full}: {error}")))?;
                masks.insert(name.clone(), mask);
            } else {
                tensors.insert(name.clone(), tensor.to_f64().map_err(named)?);
            }
        }
        if params.fan_in_fan_out {
            // [in, out] → [out, in]
            tensors.entry("weight".into()).and_modify(|weight| *weight = turned(weight));
        }
        let size = |axis| sizes.get(&axis).map_or(0, |(size, _)| *size);
        let dims =
            Dims { inputs: size(Axis::In), outputs: size(Axis::Out), rank: size(Axis::Rank) };
        // An op may need W or A where the file has none, and loops over what is empty: a shape with a 0 says sizes at no cost.
        let Dims { inputs, outputs, rank } = dims;
        for (name, rows, columns) in
            [("out × in", outputs, inputs), ("r × in", rank, inputs), ("out × r", outputs, rank)]
        {
            if rows.max(1) as u128 * columns.max(1) as u128 > MOST {
                return Err(wrong(format!("{name} is {rows} × {columns}: at most 2²⁸ numbers")));
            }
        }
        for (axis, (tokens, _)) in &sizes {
            let widest = dims.inputs.max(dims.outputs).max(dims.rank).max(1) as u128;
            if matches!(axis, Axis::Tokens(_)) && *tokens as u128 * widest > MOST {
                return Err(wrong(format!("{tokens} tokens by {widest}: at most 2²⁸ numbers")));
            }
        }
        let mut inputs = Self { dims, tensors, masks, states: BTreeMap::new() };
        if case.op == Op::Trajectory {
            inputs.check_masks(params)?;
        }
        if case.method == Method::Vera {
            inputs.slice_projections();
        }
        if case.op == Op::Trajectory {
            inputs.read_states(case.method, params, file)?;
        }
        Ok(inputs)
    }

    /// p > 0 needs a mask at every step, and every mask the shape of the step's x.
    fn check_masks(&self, params: &Params) -> Result<()> {
        for step in 0..params.steps {
            let suffix = format!(".{step}");
            let p = params.dropout_p;
            let Some(dropout) = self.dropout(p, &suffix)? else {
                if p > 0.0 {
                    return Err(wrong(format!("in.dropout_mask{suffix} [tokens, in] is missing")));
                }
                continue;
            };
            if let Some(x) = self.matrix(&format!("x{suffix}")) {
                dropout.apply(x.view()).map_err(|error| wrong(format!("step {step}: {error}")))?;
            }
        }
        Ok(())
    }

    /// vera_A\[:r, ..\] and vera_B\[.., :r\]: the method slices the other dimension itself.
    fn slice_projections(&mut self) {
        let rank = self.dims.rank;
        for (name, axis) in [("vera_A", 0), ("vera_B", 1)] {
            if let Some(matrix) = self.tensors.get_mut(name) {
                matrix.slice_axis_inplace(NdAxis(axis), (..rank).into());
            }
        }
    }

    /// The states after each step that the case gives: the next step starts from them.
    fn read_states(&mut self, method: Method, params: &Params, file: &TensorFile) -> Result<()> {
        for step in 0..params.steps {
            for name in state(method) {
                for prefix in ["", "exp_avg.", "exp_avg_sq."] {
                    let key = format!("{prefix}{name}");
                    let Some(tensor) = file.tensors.get(&format!("out.{key}.{step}")) else {
                        continue;
                    };
                    let mut array = tensor
                        .to_f64()
                        .map_err(|error| wrong(format!("out.{key}.{step} {error}")))?;
                    if name == "weight" && params.fan_in_fan_out && array.ndim() == 2 {
                        array = turned(&array);
                    }
                    let shape = self.tensors.get(name).map(|start| start.shape());
                    if Some(array.shape()) != shape {
                        let (got, want) = (array.shape(), shape.unwrap_or(&[]));
                        return Err(wrong(format!(
                            "out.{key}.{step} has shape {got:?} where {want:?} is needed (in.{name})"
                        )));
                    }
                    self.states.insert(format!("{key}.{step}"), array);
                }
            }
        }
        Ok(())
    }

    /// A tensor of whatever shape.
    pub fn get(&self, name: &str) -> Option<&ArrayD<f64>> {
        self.tensors.get(name)
    }

    /// A matrix that was checked to be there.
    pub fn matrix(&self, name: &str) -> Option<Array2<f64>> {
        self.get(name)?.clone().into_dimensionality().ok()
    }

    /// A vector that was checked to be there.
    pub fn vector(&self, name: &str) -> Option<Array1<f64>> {
        self.get(name)?.clone().into_dimensionality().ok()
    }

    /// Set or replace a tensor: the state of a trajectory moves.
    pub fn set(&mut self, name: &str, value: ArrayD<f64>) {
        self.tensors.insert(name.to_owned(), value);
    }

    /// Change a tensor, if it is there: one of the mistakes that the checker tries.
    pub fn change(&mut self, name: &str, change: impl FnOnce(&mut ArrayD<f64>)) -> bool {
        self.tensors.get_mut(name).map(change).is_some()
    }

    /// Every input, to ask whether a format holds it.
    pub fn values(&self) -> impl Iterator<Item = f64> {
        self.tensors.values().flat_map(|tensor| tensor.iter().copied())
    }

    /// The mask of this step, or the one for all.
    pub fn dropout(&self, p: f64, suffix: &str) -> Result<Option<Arc<Dropout>>> {
        let of_step = self.masks.get(&format!("dropout_mask{suffix}"));
        match of_step.or_else(|| self.masks.get("dropout_mask")) {
            Some(mask) => Ok(Some(Dropout::new(mask.clone(), p)?)),
            None => Ok(None),
        }
    }

    /// No mask at all: one of the mistakes that the checker tries.
    pub fn drop_masks(&mut self) -> bool {
        let had = !self.masks.is_empty();
        self.masks.clear();
        had
    }

    /// The only mask of a pass.
    pub fn mask(&self) -> Option<Array2<u8>> {
        self.masks.get("dropout_mask").cloned()
    }

    /// What is kept dropped, and the other way round: a mistake. False if there is no mask.
    pub fn invert_masks(&mut self) -> bool {
        self.masks.values_mut().for_each(|mask| mask.mapv_inplace(|kept| 1 - kept));
        !self.masks.is_empty()
    }

    /// A mask of about one half for every x, where there is none: a mistake. False if there is one, or no x.
    pub fn make_masks(&mut self) -> bool {
        if !self.masks.is_empty() {
            return false;
        }
        for (name, x) in &self.tensors {
            let Some(suffix) = name.strip_prefix('x') else { continue };
            let &[tokens, inputs] = x.shape() else { continue };
            // Golden sections: spread evenly over every row and every column.
            let kept = |(i, j)| u8::from(((i + 1) * 0x9e37 + (j + 1) * 0x79b9) % 0x10000 < 0x8000);
            let mask = Array2::from_shape_fn((tokens, inputs), kept);
            self.masks.insert(format!("dropout_mask{suffix}"), mask);
        }
        !self.masks.is_empty()
    }

    /// The mask as a product, so that a dropped NaN or ∞ becomes NaN and not 0. False if there is none.
    ///
    /// Such an element is kept and NaN; x itself has it in the frozen term, which is not finite there in any case.
    pub fn multiply_masks(&mut self) -> bool {
        let mut changed = false;
        for (name, mask) in &mut self.masks {
            let x = format!("x{}", name.strip_prefix("dropout_mask").unwrap_or_default());
            let Some(x) = self.tensors.get_mut(&x) else { continue };
            for (kept, x) in mask.iter_mut().zip(x.iter_mut()) {
                if *kept == 0 && !x.is_finite() {
                    (*kept, *x, changed) = (1, f64::NAN, true);
                }
            }
        }
        changed
    }
}

/// The transpose in row-major order.
pub(crate) fn turned(matrix: &ArrayD<f64>) -> ArrayD<f64> {
    matrix.t().as_standard_layout().to_owned()
}

/// The trained tensors of a method.
pub(crate) fn trained(method: Method) -> &'static [&'static str] {
    match method {
        Method::Lora | Method::DeltaLora | Method::LoraPlus => &["lora_A", "lora_B"],
        Method::LoraFa => &["lora_B"],
        Method::Vera => &["vera_lambda_b", "vera_lambda_d"],
    }
}

/// What an update changes.
pub(crate) fn state(method: Method) -> Vec<&'static str> {
    let mut names = trained(method).to_vec();
    if method == Method::DeltaLora {
        names.push("weight");
    }
    names
}

fn axes_of(name: &str) -> Vec<Axis> {
    match name {
        "lora_A" | "vera_A" => vec![Axis::Rank, Axis::In],
        "lora_B" | "vera_B" => vec![Axis::Out, Axis::Rank],
        "vera_lambda_d" => vec![Axis::Rank],
        "vera_lambda_b" | "bias" => vec![Axis::Out],
        _ => vec![Axis::Out, Axis::In],
    }
}

/// The tensors that a case may have; those that fix the dimensions first.
fn wanted(case: &Case, params: &Params) -> Vec<Wanted> {
    let (method, op) = (case.method, case.op);
    let mut list = Vec::new();
    let mut add = |name: &str, axes: Vec<Axis>, needed: bool| {
        let at_least = name == "vera_A" || name == "vera_B";
        list.push(Wanted { name: name.to_owned(), axes, needed, at_least });
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
    for name in trained(method) {
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
            let needed = dropout && op != Op::Trajectory;
            add(&format!("dropout_mask{suffix}"), vec![tokens, Axis::In], needed);
        }
    }
    list
}

/// Does the shape fit the sizes known so far? New sizes are entered.
fn check(
    name: &str,
    shape: &[usize],
    axes: &[Axis],
    at_least: bool,
    sizes: &mut BTreeMap<Axis, (usize, String)>,
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
