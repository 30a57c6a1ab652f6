//! What is computed: a method with the parameters and the inputs of a case.

use std::sync::Arc;

use adapter::{Group, Sgd};
use delta_lora::DeltaLora;
use dora::Dora;
use lora::Lora;
use lora_fa::{LoraFa, Variant};
use lora_plus::{Groups, Kind, LoraPlus};
use ndarray::{Array2, ArrayD};
use vera::{Projections, Vera};

use super::dora_formula::Formula;
use super::layer::{Layer, Named};
use super::slips::{Slipped, Slips};
use crate::case::{Case, Inputs, Method, Params, transposed};
use crate::error::{Error, Result, wrong};
use crate::tensors::TensorFile;

/// What is computed: a method, its parameters and its inputs. A mutant changes them.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub method: Method,
    pub params: Params,
    pub inputs: Inputs,
    /// A factor on s, 1 unless a mutant is tried.
    pub scale_factor: f64,
    /// What a mutant makes of DoRA's formula.
    pub mistake: Option<fn(&mut Formula)>,
    /// And of updates.
    pub slips: Slips,
}

impl Problem {
    pub fn read(case: &Case, file: &TensorFile) -> Result<Self> {
        let (params, inputs) = (case.params()?.clone(), Inputs::read(case, file)?);
        let (method, slips) = (case.method, Slips::default());
        Ok(Self { method, params, inputs, scale_factor: 1.0, mistake: None, slips })
    }

    /// s; 1 for VeRA, which has none.
    pub fn scale(&self) -> Result<f64> {
        if self.method == Method::Vera {
            return Ok(1.0);
        }
        let scale = self.params.scaling.scale(self.params.alpha, self.inputs.dims.rank)?;
        Ok(scale * self.scale_factor)
    }

    /// DoRA's formula, with the mistake in it.
    ///
    /// # Errors
    /// An input is missing.
    pub fn formula(&self) -> Result<Formula> {
        let magnitude = self.inputs.vector("lora_magnitude_vector");
        let magnitude = magnitude.ok_or_else(|| missing("lora_magnitude_vector"))?;
        let mut formula = Formula::new(self.weight(), &self.factors()?, self.scale()?, magnitude);
        if let Some(mistake) = self.mistake {
            mistake(&mut formula);
        }
        Ok(formula)
    }

    /// A and B of LoRA and what is built on it.
    ///
    /// # Errors
    /// One is missing.
    pub fn factors(&self) -> Result<[Array2<f64>; 2]> {
        let get = |name| self.inputs.matrix(name).ok_or_else(|| missing(name));
        Ok([get("lora_A")?, get("lora_B")?])
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
        if self.params.fan_in_fan_out { transposed(&weight) } else { weight }
    }

    /// The adapter.
    pub fn layer(&self) -> Result<Layer> {
        self.build(self.scale()?, self.params.variant, |number| number)
    }

    /// The adapter on absolute values, |s| included: every term of every sum becomes its absolute value.
    pub fn absolute(&self) -> Result<Layer> {
        self.build(self.scale()?.abs(), Variant::Plain, f64::abs)
    }

    fn build(&self, scale: f64, variant: Variant, map: fn(f64) -> f64) -> Result<Layer> {
        let [inputs, outputs, rank] =
            [self.inputs.dims.inputs, self.inputs.dims.outputs, self.inputs.dims.rank];
        let a = |name| self.matrix(name, rank, inputs).mapv(map);
        let b = |name| self.matrix(name, outputs, rank).mapv(map);
        let vector = |name| {
            self.inputs.vector(name).map(|vector| vector.mapv(map)).ok_or_else(|| missing(name))
        };
        if self.method == Method::Vera {
            let shared = Arc::new(Projections::new(a("vera_A"), b("vera_B"))?);
            let [lambda_b, lambda_d] = [vector("vera_lambda_b")?, vector("vera_lambda_d")?];
            return Ok(Layer::Vera(Vera::new(lambda_b, lambda_d, inputs, shared)?));
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
            Method::Dora => Layer::Dora(Dora::new(lora, vector("lora_magnitude_vector")?)?),
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
            Some(adamw) => {
                let mut optimizer = Slipped { adamw, params: &self.params, slips: self.slips };
                for name in self.method.trained() {
                    let moment = |kind: &str| {
                        let zeros = || ArrayD::zeros(gradients[*name].shape());
                        self.inputs.get(&format!("{kind}.{name}")).cloned().unwrap_or_else(zeros)
                    };
                    let moments = adapter::Moments {
                        steps: self.params.start,
                        exp_avg: moment("exp_avg"),
                        exp_avg_sq: moment("exp_avg_sq"),
                    };
                    optimizer.adamw.moments.insert((*name).to_owned(), moments);
                }
                layer.step(&mut weight, gradients, &mut optimizer)?;
                for (name, moments) in optimizer.adamw.moments {
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

fn missing(name: &str) -> Error {
    wrong(format!("in.{name} is missing"))
}
