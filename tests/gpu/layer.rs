//! A layer on a device, whichever its method, under the names of the cases.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use cuda::{AdamW, Device, Element, Error, Matrix, Parameter, Stream, View};
use lora_plus::Groups;
use ndarray::{Array1, Array2};
use oracle::{Method, Params};

type Result<T> = std::result::Result<T, Error>;
/// Host arrays by the names of the cases.
pub type Named = BTreeMap<&'static str, Array2<f64>>;

/// A layer with its room.
#[allow(missing_docs)]
pub enum Layer<T: Element, D: Device> {
    Lora(lora::gpu::Lora<T, D>, lora::gpu::Saved<T, D>, lora::gpu::Grads<T, D>),
    LoraPlus(lora_plus::gpu::Lora<T, D>, Groups, lora::gpu::Saved<T, D>, lora::gpu::Grads<T, D>),
    DeltaLora(delta_lora::gpu::DeltaLora<T, D>, lora::gpu::Saved<T, D>, lora::gpu::Grads<T, D>),
    LoraFa(lora_fa::gpu::LoraFa<T, D>, lora::gpu::Saved<T, D>, lora_fa::gpu::Grads<T, D>),
    Vera(vera::gpu::Vera<T, D>, vera::gpu::Saved<T, D>, vera::gpu::Grads<T, D>),
}

fn row(matrix: &Array2<f64>) -> Array1<f64> {
    matrix.row(0).to_owned()
}

impl<T: Element, D: Device> Layer<T, D> {
    /// From the tensors of a case, `in.` taken off; vectors are \[1, n\].
    ///
    /// # Errors
    /// The tensors do not fit together, or the device fails.
    ///
    /// # Panics
    /// One is missing.
    pub fn new(
        device: &D,
        method: Method,
        params: &Params,
        given: &dyn Fn(&str) -> Option<Array2<f64>>,
        tokens: usize,
    ) -> Result<Self> {
        if method == Method::Vera {
            let [b, d] = ["vera_lambda_b", "vera_lambda_d"].map(given);
            let (b, d) = (b.expect("a case of VeRA has b"), d.expect("a case of VeRA has d"));
            // A step needs neither weight nor projections; without a weight the projections are the layer's own.
            let inputs = given("weight").or_else(|| given("vera_A"));
            let inputs = inputs.map_or(1, |matrix| matrix.ncols());
            let a = given("vera_A").unwrap_or_else(|| Array2::zeros((d.ncols(), inputs)));
            let big_b = given("vera_B").unwrap_or_else(|| Array2::zeros((b.ncols(), d.ncols())));
            let used = a.slice(ndarray::s![..d.ncols(), ..]).to_owned();
            let used_b = big_b.slice(ndarray::s![.., ..d.ncols()]).to_owned();
            let projections = vera::Projections::new(used, used_b)?;
            let on_device = vera::gpu::Projections::new(device, &projections)?;
            let cpu = vera::Vera::new(row(&b), row(&d), inputs, Arc::new(projections))?;
            let layer = vera::gpu::Vera::new(device, &cpu, &Rc::clone(&on_device))?;
            let (saved, grads) = (layer.saved(tokens)?, layer.grads(tokens)?);
            return Ok(Self::Vera(layer, saved, grads));
        }
        // A step of LoRA-FA has no A, unless it is projected.
        let b = given("lora_B").expect("a case has B");
        let a = given("lora_A").unwrap_or_else(|| Array2::zeros((b.ncols(), 1)));
        let scale = params.scaling.scale(params.alpha, a.nrows())?;
        if method == Method::LoraFa {
            let cpu = lora_fa::LoraFa::new(a, b, scale, params.variant)?;
            let layer = lora_fa::gpu::LoraFa::new(device, &cpu)?;
            let (saved, grads) = (layer.saved(tokens)?, layer.grads(tokens)?);
            return Ok(Self::LoraFa(layer, saved, grads));
        }
        let cpu = lora::Lora::new(a, b, scale)?;
        let layer = lora::gpu::Lora::new(device, &cpu)?;
        let (saved, grads) = (layer.saved(tokens)?, layer.grads(tokens)?);
        Ok(match method {
            Method::DeltaLora => {
                let start = [cpu.a.clone(), cpu.b.clone()];
                let cpu = delta_lora::DeltaLora::resume(cpu, params.delta, params.start, start)?;
                Self::DeltaLora(delta_lora::gpu::DeltaLora::new(device, &cpu)?, saved, grads)
            }
            Method::LoraPlus => {
                Self::LoraPlus(layer, Groups::new(params.optimizer.lr_ratio)?, saved, grads)
            }
            _ => Self::Lora(layer, saved, grads),
        })
    }

    /// y.
    ///
    /// # Errors
    /// The device fails.
    pub fn forward(
        &mut self,
        weight: View<'_, T, D>,
        x: &Matrix<T, D>,
        dropout: Option<&mut Stream<'_, T, D>>,
        y: &mut Matrix<T, D>,
    ) -> Result<()> {
        match self {
            Self::Lora(layer, saved, _) | Self::LoraPlus(layer, _, saved, _) => {
                layer.forward(weight, x, dropout, y, saved)
            }
            Self::DeltaLora(layer, saved, _) => layer.lora.forward(weight, x, dropout, y, saved),
            Self::LoraFa(layer, saved, _) => layer.forward(weight, x, dropout, y, saved),
            Self::Vera(layer, saved, _) => layer.forward(weight, x, dropout, y, saved),
        }
    }

    /// ∂L/∂x, and the gradients in their room.
    ///
    /// # Errors
    /// The device fails.
    pub fn backward(
        &mut self,
        weight: View<'_, T, D>,
        x: &Matrix<T, D>,
        dropout: Option<&mut Stream<'_, T, D>>,
        grad_y: &Matrix<T, D>,
        grad_x: &mut Matrix<T, D>,
    ) -> Result<()> {
        match self {
            Self::Lora(layer, saved, grads) | Self::LoraPlus(layer, _, saved, grads) => {
                layer.backward(weight, x, dropout, saved, grad_y, grad_x, grads)
            }
            Self::DeltaLora(layer, saved, grads) => {
                layer.lora.backward(weight, x, dropout, saved, grad_y, grad_x, grads)
            }
            Self::LoraFa(layer, saved, grads) => {
                layer.backward(weight, dropout.as_deref(), saved, grad_y, grad_x, grads)
            }
            Self::Vera(layer, saved, grads) => {
                layer.backward(weight, dropout.as_deref(), saved, grad_y, grad_x, grads)
            }
        }
    }

    /// Gradients by the names of their tensors; LoRA-FA's projected one too, if it has one.
    ///
    /// # Errors
    /// The device fails.
    pub fn gradients(&mut self) -> Result<Named> {
        let mut named = Named::new();
        match self {
            Self::Lora(_, _, grads)
            | Self::LoraPlus(_, _, _, grads)
            | Self::DeltaLora(_, _, grads) => {
                named.insert("grad_lora_A", grads.a.to_host()?);
                named.insert("grad_lora_B", grads.b[0].to_host()?);
            }
            Self::LoraFa(layer, _, grads) => {
                named.insert("grad_lora_B", grads.b[0].to_host()?);
                named.insert("projected_grad_lora_B", layer.direction(grads)?[0].to_host()?);
            }
            Self::Vera(_, _, grads) => {
                named.insert("grad_vera_lambda_b", grads.layers[0].lambda_b.to_host()?);
                named.insert("grad_vera_lambda_d", grads.layers[0].lambda_d.to_host()?);
            }
        }
        Ok(named)
    }

    /// Put gradients in, as if `backward` had made them.
    ///
    /// # Errors
    /// The device fails.
    pub fn set_gradients(&mut self, given: &dyn Fn(&str) -> Option<Array2<f64>>) -> Result<()> {
        let grad = |name| given(name).expect("a case has a gradient for each trained tensor");
        match self {
            Self::Lora(_, _, grads)
            | Self::LoraPlus(_, _, _, grads)
            | Self::DeltaLora(_, _, grads) => {
                grads.a.write(grad("grad_lora_A").view())?;
                grads.b[0].write(grad("grad_lora_B").view())
            }
            Self::LoraFa(_, _, grads) => grads.b[0].write(grad("grad_lora_B").view()),
            Self::Vera(_, _, grads) => {
                grads.layers[0].lambda_b.write(grad("grad_vera_lambda_b").view())?;
                grads.layers[0].lambda_d.write(grad("grad_vera_lambda_d").view())
            }
        }
    }

    /// One update of the layer, under the name `layer`.
    ///
    /// # Errors
    /// The device fails.
    pub fn step(
        &mut self,
        weight: &mut Parameter<T, D>,
        optimizer: &mut AdamW<T, D>,
    ) -> Result<()> {
        match self {
            Self::Lora(layer, _, grads) => {
                lora::gpu::step(&mut [("layer", layer, grads)], optimizer)
            }
            Self::LoraPlus(layer, groups, _, grads) => {
                lora_plus::gpu::step(&mut [("layer", layer, grads)], groups, optimizer)
            }
            Self::DeltaLora(layer, _, grads) => {
                delta_lora::gpu::step(&mut [("layer", layer, weight, grads)], optimizer)
            }
            Self::LoraFa(layer, _, grads) => {
                lora_fa::gpu::step(&mut [("layer", layer, grads)], optimizer)
            }
            Self::Vera(layer, _, grads) => {
                vera::gpu::step(&mut [("layer", layer, grads)], optimizer)
            }
        }
    }

    /// W + ΔW, or W − ΔW with a negative sign.
    ///
    /// # Errors
    /// The device fails.
    pub fn merge(&self, weight: &mut Matrix<T, D>, sign: f64) -> Result<()> {
        macro_rules! merge {
            ($layer:expr) => {
                if sign > 0.0 { $layer.merge(weight) } else { $layer.unmerge(weight) }
            };
        }
        match self {
            Self::Lora(layer, ..) | Self::LoraPlus(layer, ..) => merge!(layer),
            Self::DeltaLora(layer, ..) => merge!(layer.lora),
            Self::LoraFa(layer, ..) => merge!(layer),
            Self::Vera(layer, ..) => merge!(layer),
        }
    }

    /// What is trained, from the masters.
    ///
    /// # Errors
    /// The device fails.
    pub fn tensors(&self) -> Result<Named> {
        let mut named = Named::new();
        match self {
            Self::Lora(layer, ..) | Self::LoraPlus(layer, ..) => {
                named.insert("lora_A", layer.a.to_host()?);
                named.insert("lora_B", layer.segments()[0].b.to_host()?);
            }
            Self::DeltaLora(layer, ..) => {
                named.insert("lora_A", layer.lora.a.to_host()?);
                named.insert("lora_B", layer.lora.segments()[0].b.to_host()?);
            }
            Self::LoraFa(layer, ..) => {
                named.insert("lora_B", layer.lora().segments()[0].b.to_host()?);
            }
            Self::Vera(layer, ..) => {
                named.insert("vera_lambda_b", layer.layers()[0].lambda_b.to_host()?);
                named.insert("vera_lambda_d", layer.layers()[0].lambda_d.to_host()?);
            }
        }
        Ok(named)
    }
}
