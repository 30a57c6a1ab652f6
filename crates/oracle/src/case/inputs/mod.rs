//! The `in.` tensors of a case, as `f64`, each with the shape that the others leave it.

mod masks;
mod shapes;

use std::collections::BTreeMap;
use std::sync::Arc;

use adapter::Dropout;
use ndarray::{Array1, Array2, ArrayD, Axis as NdAxis};

use self::shapes::{Axis, InputSpec, Sizes, check_shape, input_specs};
use super::limits::MOST_ELEMENTS;
use super::metadata::Case;
use super::method::Method;
use super::op::Op;
use super::params::Params;
use crate::error::{Result, wrong};
use crate::tensors::TensorFile;

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
    /// `dropout_mask`, with the suffix of its step in a trajectory.
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
        let specs = input_specs(case, params);
        check_names(case, file, &specs)?;
        let mut sizes = Sizes::new();
        let (mut tensors, mut masks) = (BTreeMap::new(), BTreeMap::new());
        for InputSpec { name, axes, required, at_least } in &specs {
            let full = format!("in.{name}");
            let Some(tensor) = file.tensors.get(&full) else {
                if *required {
                    let names: Vec<_> = axes.iter().map(|axis| axis.name()).collect();
                    return Err(wrong(format!("{full} [{}] is missing", names.join(", "))));
                }
                continue;
            };
            check_shape(&full, &tensor.shape, axes, *at_least, &mut sizes)?;
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
            tensors.entry("weight".into()).and_modify(|weight| *weight = transposed(weight));
        }
        let size = |axis| sizes.get(&axis).map_or(0, |(size, _)| *size);
        let dims =
            Dims { inputs: size(Axis::In), outputs: size(Axis::Out), rank: size(Axis::Rank) };
        check_sizes(dims, &sizes)?;
        let mut inputs = Self { dims, tensors, masks, states: BTreeMap::new() };
        if case.op == Op::Trajectory {
            inputs.check_masks(params)?;
        }
        if params.dropout_p == 0.0 {
            // x̃ is x then, whatever a mask says: it was checked, and drops nothing.
            inputs.masks.clear();
        }
        if case.method == Method::Vera {
            inputs.slice_shared_matrices();
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
    fn slice_shared_matrices(&mut self) {
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
            for name in method.state() {
                for prefix in ["", "exp_avg.", "exp_avg_sq."] {
                    let key = format!("{prefix}{name}");
                    let Some(tensor) = file.tensors.get(&format!("out.{key}.{step}")) else {
                        continue;
                    };
                    let mut array = tensor
                        .to_f64()
                        .map_err(|error| wrong(format!("out.{key}.{step} {error}")))?;
                    if name == "weight" && params.fan_in_fan_out && array.ndim() == 2 {
                        array = transposed(&array);
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

    /// Change a tensor. False if it is not there.
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

    /// The only mask of a pass.
    pub fn mask(&self) -> Option<Array2<u8>> {
        self.masks.get("dropout_mask").cloned()
    }
}

/// `Ok` if every input is one that the method takes in this op.
fn check_names(case: &Case, file: &TensorFile, specs: &[InputSpec]) -> Result<()> {
    for name in file.tensors.keys() {
        let known = name.starts_with("out.") || name.starts_with("gauge.");
        if !known && !specs.iter().any(|spec| *name == format!("in.{}", spec.name)) {
            let names: Vec<_> = specs.iter().map(|spec| spec.name.as_str()).collect();
            let (method, op, names) = (case.method, case.op, names.join(", in."));
            return Err(wrong(format!("{name} is unknown to {method}/{op}: it takes in.{names}")));
        }
    }
    Ok(())
}

/// `Ok` if no array that an op may need is too large.
fn check_sizes(Dims { inputs, outputs, rank }: Dims, sizes: &Sizes) -> Result<()> {
    // An op may need W or A where the file has none, and loops over what is empty: a shape with a 0 says sizes at no cost.
    for (name, rows, columns) in
        [("out × in", outputs, inputs), ("r × in", rank, inputs), ("out × r", outputs, rank)]
    {
        if rows.max(1) as u128 * columns.max(1) as u128 > MOST_ELEMENTS {
            return Err(wrong(format!("{name} is {rows} × {columns}: at most 2²⁸ numbers")));
        }
    }
    for (axis, (tokens, _)) in sizes {
        let widest = inputs.max(outputs).max(rank).max(1) as u128;
        if matches!(axis, Axis::Tokens(_)) && *tokens as u128 * widest > MOST_ELEMENTS {
            return Err(wrong(format!("{tokens} tokens by {widest}: at most 2²⁸ numbers")));
        }
    }
    Ok(())
}

/// The transpose in row-major order.
pub(crate) fn transposed(matrix: &ArrayD<f64>) -> ArrayD<f64> {
    matrix.t().as_standard_layout().to_owned()
}
