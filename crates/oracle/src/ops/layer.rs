//! One layer, whichever its method: the crates of the methods under one set of names.

use std::collections::BTreeMap;
use std::sync::Arc;

use adapter::{AdamVariant, Adapter, Dropout, Group, Optimizer, Sgd};
use delta_lora::DeltaLora;
use lora::Lora;
use lora_fa::{LoraFa, Variant};
use lora_plus::{Groups, Kind, LoraPlus};
use ndarray::{ArcArray2, Array2, ArrayD, ArrayViewD, ArrayViewMutD};
use vera::{Projections, Vera};

use crate::case::inputs::{Inputs, trained, turned};
use crate::case::params::Params;
use crate::case::{Case, Method};
use crate::error::wrong;
use crate::{Error, Result, TensorFile};

/// Arrays by name.
pub(crate) type Named = BTreeMap<String, ArrayD<f64>>;

/// What is computed: a method's parameters and its inputs. The checker changes both to try a mistake.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub method: Method,
    pub params: Params,
    pub inputs: Inputs,
    /// A factor on s, 1 unless a mistake is tried.
    pub scale_factor: f64,
}

/// An adapter of one of the five methods.
#[derive(Clone)]
pub(crate) enum Layer {
    Lora(Lora<f64>),
    LoraFa(LoraFa<f64>),
    Vera(Vera<f64>),
    DeltaLora(DeltaLora<f64>),
    LoraPlus(LoraPlus<f64>),
}

macro_rules! each {
    ($layer:expr, $adapter:ident => $body:expr) => {
        match $layer {
            Layer::Lora($adapter) => $body,
            Layer::LoraFa($adapter) => $body,
            Layer::Vera($adapter) => $body,
            Layer::DeltaLora($adapter) => $body,
            Layer::LoraPlus($adapter) => $body,
        }
    };
}

impl Problem {
    pub fn read(case: &Case, file: &TensorFile) -> Result<Self> {
        let (params, inputs) = (case.params()?.clone(), Inputs::read(case, file)?);
        Ok(Self { method: case.method, params, inputs, scale_factor: 1.0 })
    }

    /// s; 1 for VeRA, which has none.
    pub fn scale(&self) -> Result<f64> {
        if self.method == Method::Vera {
            return Ok(1.0);
        }
        let scale = self.params.scaling.scale(self.params.alpha, self.inputs.dims.rank)?;
        Ok(scale * self.scale_factor)
    }

    /// A matrix, or zeros where the op does not need it.
    pub fn matrix(&self, name: &str, rows: usize, columns: usize) -> Array2<f64> {
        self.inputs.matrix(name).unwrap_or_else(|| Array2::zeros((rows, columns)))
    }

    /// W, \[out, in\].
    pub fn weight(&self) -> Array2<f64> {
        self.matrix("weight", self.inputs.dims.outputs, self.inputs.dims.inputs)
    }

    /// W as the file has it: \[in, out\] when `fan_in_fan_out`.
    pub fn stored_weight(&self) -> ArrayD<f64> {
        let weight = self.weight().into_dyn();
        if self.params.fan_in_fan_out { turned(&weight) } else { weight }
    }

    /// The adapter.
    pub fn layer(&self) -> Result<Layer> {
        self.build(self.scale()?, self.params.variant, |number| number)
    }

    /// The same of absolute values, |s| included: every term of every sum becomes its absolute value.
    pub fn absolute(&self) -> Result<Layer> {
        self.build(self.scale()?.abs(), Variant::Plain, f64::abs)
    }

    fn build(&self, scale: f64, variant: Variant, map: fn(f64) -> f64) -> Result<Layer> {
        let [inputs, outputs, rank] =
            [self.inputs.dims.inputs, self.inputs.dims.outputs, self.inputs.dims.rank];
        let a = |name| self.matrix(name, rank, inputs).mapv(map);
        let b = |name| self.matrix(name, outputs, rank).mapv(map);
        let vector = |name| {
            self.inputs
                .vector(name)
                .map(|vector| vector.mapv(map))
                .ok_or_else(|| wrong(format!("in.{name} is missing")))
        };
        if self.method == Method::Vera {
            let projections = Arc::new(Projections::new(a("vera_A"), b("vera_B"))?);
            let [lambda_b, lambda_d] = [vector("vera_lambda_b")?, vector("vera_lambda_d")?];
            return Ok(Layer::Vera(Vera::new(lambda_b, lambda_d, inputs, projections)?));
        }
        let [a, b] = [a("lora_A"), b("lora_B")];
        if self.method == Method::LoraFa {
            return Ok(Layer::LoraFa(LoraFa::new(a, b, scale, variant)?));
        }
        let lora = Lora::new(a, b, scale)?;
        Ok(match self.method {
            Method::DeltaLora => {
                let start = [lora.a.clone(), lora.b.clone()];
                Layer::DeltaLora(DeltaLora::resume(
                    lora,
                    self.params.delta,
                    self.params.start,
                    start,
                )?)
            }
            Method::LoraPlus => {
                let groups = Groups::new(self.params.optimizer.lr_ratio)?;
                Layer::LoraPlus(LoraPlus { lora, groups })
            }
            _ => Layer::Lora(lora),
        })
    }

    /// η and the decay of this tensor.
    pub fn group(&self, name: &str) -> Result<Group> {
        let base = self.params.optimizer.group;
        Ok(match self.method {
            Method::LoraPlus => {
                Groups::new(self.params.optimizer.lr_ratio)?.of(name, 2, Kind::Linear, base)
            }
            _ => base,
        })
    }

    /// One update of every trained tensor, and of W where the method moves it. `inputs` holds the state before, and the
    /// state after it when this returns.
    pub fn step(&mut self, gradients: &Named) -> Result<()> {
        let (mut layer, mut weight) = (self.layer()?, self.weight());
        match self.params.optimizer.adamw() {
            None => layer.step(
                &mut weight,
                gradients,
                &mut Sgd { group: self.params.optimizer.group },
            )?,
            Some(mut adamw) => {
                for name in trained(self.method) {
                    let moment = |kind: &str| {
                        let zeros = || ArrayD::zeros(gradients[*name].shape());
                        self.inputs.get(&format!("{kind}.{name}")).cloned().unwrap_or_else(zeros)
                    };
                    let moments = adapter::Moments {
                        steps: self.params.start,
                        exp_avg: moment("exp_avg"),
                        exp_avg_sq: moment("exp_avg_sq"),
                    };
                    adamw.moments.insert((*name).to_owned(), moments);
                }
                layer.step(&mut weight, gradients, &mut adamw)?;
                for (name, moments) in adamw.moments {
                    self.inputs.set(&format!("exp_avg.{name}"), moments.exp_avg);
                    self.inputs.set(&format!("exp_avg_sq.{name}"), moments.exp_avg_sq);
                }
            }
        }
        for (name, parameter) in layer.tensors() {
            self.inputs.set(&name, parameter);
        }
        if self.method == Method::DeltaLora {
            self.inputs.set("weight", weight.into_dyn());
        }
        self.params.start += 1;
        Ok(())
    }
}

/// What forward and backward give.
pub(crate) struct Passed {
    pub y: Array2<f64>,
    pub grad_x: Array2<f64>,
    pub gradients: Named,
}

impl Layer {
    /// y without bias.
    pub fn forward(
        &self,
        weight: &Array2<f64>,
        x: &Array2<f64>,
        dropout: Option<&Arc<Dropout>>,
    ) -> Result<Array2<f64>> {
        each!(self, adapter => Ok(adapter.forward(weight.view(), &x.to_shared(), dropout)?.0))
    }

    pub fn backward(
        &self,
        weight: &Array2<f64>,
        x: &Array2<f64>,
        dropout: Option<&Arc<Dropout>>,
        grad_y: &Array2<f64>,
    ) -> Result<Passed> {
        each!(self, adapter => {
            let (y, saved) = adapter.forward(weight.view(), &x.to_shared(), dropout)?;
            let (grad_x, grads) = adapter.backward(weight.view(), &saved, grad_y.view())?;
            Ok(Passed { y, grad_x, gradients: named(&grads) })
        })
    }

    /// What LoRA-FA's optimiser is given for ∂L/∂B.
    pub fn direction(&self, grad_b: &ArrayD<f64>) -> Result<ArrayD<f64>> {
        let Self::LoraFa(lora_fa) = self else { return Ok(grad_b.clone()) };
        let grad_b = grad_b.view().into_dimensionality().map_err(wrong)?;
        Ok(lora_fa.direction(grad_b)?.into_dyn())
    }

    pub fn delta_weight(&self) -> Array2<f64> {
        each!(self, adapter => adapter.delta_weight())
    }

    pub fn merge(&self, weight: &mut Array2<f64>) -> Result<()> {
        each!(self, adapter => Ok(adapter.merge(weight)?))
    }

    pub fn unmerge(&self, weight: &mut Array2<f64>) -> Result<()> {
        each!(self, adapter => Ok(adapter.unmerge(weight)?))
    }

    pub fn tensors(&self) -> Named {
        each!(self, adapter => named(adapter))
    }

    fn step(
        &mut self,
        weight: &mut Array2<f64>,
        gradients: &Named,
        optimizer: &mut dyn Optimizer<f64>,
    ) -> Result<()> {
        each!(self, adapter => step(adapter, weight, gradients, optimizer))
    }
}

fn named(tensors: &impl adapter::Tensors<f64>) -> Named {
    let owned =
        |(name, tensor): (&'static str, ArrayViewD<'_, f64>)| (name.to_owned(), tensor.to_owned());
    tensors.tensors().into_iter().map(owned).collect()
}

fn step<A: Adapter<f64>>(
    adapter: &mut A,
    weight: &mut Array2<f64>,
    gradients: &Named,
    optimizer: &mut dyn Optimizer<f64>,
) -> Result<()> {
    // Gradients of the method's own type: those of no token, filled with the case's.
    let x = ArcArray2::zeros((0, weight.ncols()));
    let (y, saved) = adapter.forward(weight.view(), &x, None)?;
    let (_, mut grads) = adapter.backward(weight.view(), &saved, y.view())?;
    let fill = |(name, mut gradient): (&'static str, ArrayViewMutD<'_, f64>)| {
        let given = gradients.get(name).ok_or_else(|| wrong(format!("grad_{name} is missing")))?;
        adapter::check_shape(
            format!("grad_{name}"),
            given.shape(),
            gradient.shape(),
            "its parameter's",
        )?;
        gradient.assign(given);
        Ok::<_, Error>(())
    };
    adapter::Tensors::tensors_mut(&mut grads).into_iter().try_for_each(fill)?;
    Ok(adapter.step(weight, &grads, optimizer)?)
}

/// β₁, β₂ and the rest of AdamW at this update, as the bounds need them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamNow {
    pub betas: (f64, f64),
    pub eps: f64,
    /// η/(1 − β₁ᵗ), times √(1 − β₂ᵗ) for hf.
    pub rate: f64,
    /// √(1 − β₂ᵗ) for torch, 1 for hf.
    pub root_bias: f64,
    pub decay_last: bool,
    /// What a unit of rounding becomes in 1 − β₁ᵗ and 1 − β₂ᵗ, which cancel.
    pub bias_roundings: [f64; 2],
}

impl AdamNow {
    pub fn new(params: &Params, lr: f64) -> Option<Self> {
        let (variant, betas, eps) = params.optimizer.adamw?;
        let t = (params.start + 1) as f64;
        let (bias1, bias2) = (1.0 - betas.0.powf(t), 1.0 - betas.1.powf(t));
        let hf = variant == AdamVariant::Hf;
        let (rate, root_bias) =
            if hf { (lr * bias2.sqrt() / bias1, 1.0) } else { (lr / bias1, bias2.sqrt()) };
        // βᵗ goes through t roundings of β, and t − 1 of products or two of a `pow`; 1 − βᵗ cancels.
        let cancels = |bias: f64| (2.0 * t + 1.0) * (1.0 - bias) / bias;
        let bias_roundings = [cancels(bias1), cancels(bias2)];
        Some(Self { betas, eps, rate, root_bias, decay_last: hf, bias_roundings })
    }
}
