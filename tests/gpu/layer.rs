//! A layer on a device, whichever its method, under the names of the cases.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use cuda::{AdamW, Augmented, Bordered, Device, Element, Error, Matrix, Stream, ViewMut};
use lora_plus::Groups;
use ndarray::{Array1, Array2};
use oracle::{Method, Params};

type Result<T> = std::result::Result<T, Error>;
/// Host arrays by the names of the cases.
pub type Named = BTreeMap<&'static str, Array2<f64>>;

/// A layer with its room: its weight, \[x | h\] and \[∂L/∂y | ∂L/∂h\] among it.
pub struct Layer<T: Element, D: Device> {
    adapter: Adapter<T, D>,
    x_h: Augmented<T, D>,
    grad_y_h: Augmented<T, D>,
}

enum Adapter<T: Element, D: Device> {
    Lora(lora::gpu::Lora<T, D>, lora::gpu::Grads<T, D>),
    LoraPlus(lora_plus::gpu::Lora<T, D>, Groups, lora::gpu::Grads<T, D>),
    DeltaLora(delta_lora::gpu::DeltaLora<T, D>, lora::gpu::Grads<T, D>),
    LoraFa(lora_fa::gpu::LoraFa<T, D>, lora_fa::gpu::Saved<T, D>, lora_fa::gpu::Grads<T, D>),
    Vera(vera::gpu::Vera<T, D>, vera::gpu::Saved<T, D>, vera::gpu::Grads<T, D>),
}

fn row(matrix: &Array2<f64>) -> Array1<f64> {
    matrix.row(0).to_owned()
}

impl<T: Element, D: Device> Layer<T, D> {
    /// From the tensors of a case, `in.` taken off; vectors are \[1, n\]. A step needs neither weight nor frozen matrices: those
    /// that are missing are zeros.
    ///
    /// # Errors
    /// The tensors do not fit together, or the device fails.
    ///
    /// # Panics
    /// One that is trained is missing.
    pub fn new(
        device: &D,
        method: Method,
        params: &Params,
        given: &dyn Fn(&str) -> Option<Array2<f64>>,
        tokens: usize,
    ) -> Result<Self> {
        let frozen = |name, shape| given(name).unwrap_or_else(|| Array2::zeros(shape));
        let adapter = if method == Method::Vera {
            let [b, d] = ["vera_lambda_b", "vera_lambda_d"].map(given);
            let (b, d) = (b.expect("a case of VeRA has b"), d.expect("a case of VeRA has d"));
            // Without a weight the projections are the layer's own.
            let a = frozen("vera_A", (d.ncols(), 1));
            let weight = frozen("weight", (b.ncols(), a.ncols()));
            let big_b = frozen("vera_B", (b.ncols(), d.ncols()));
            let a = a.slice(ndarray::s![..d.ncols(), ..]).to_owned();
            let big_b = big_b.slice(ndarray::s![.., ..d.ncols()]).to_owned();
            let projections = Arc::new(vera::Projections::new(a, big_b)?);
            let on_device = Rc::new(Matrix::from_host(device, projections.b())?);
            let cpu = vera::Vera::new(row(&b), row(&d), weight.ncols(), projections)?;
            let layer = vera::gpu::Vera::new(device, weight.view(), &cpu, &on_device)?;
            let (saved, grads) = (layer.saved(tokens)?, layer.grads()?);
            Adapter::Vera(layer, saved, grads)
        } else {
            let b = given("lora_B").expect("a case has B");
            let a = frozen("lora_A", (b.ncols(), 1));
            let weight = frozen("weight", (b.nrows(), a.ncols()));
            Self::of_lora(device, method, params, weight, [a, b], tokens)?
        };
        let matrix = adapter.matrix();
        let (x_h, grad_y_h) = (matrix.input(tokens)?, matrix.grad_y(tokens)?);
        Ok(Self { adapter, x_h, grad_y_h })
    }

    /// LoRA, and what is built on it.
    fn of_lora(
        device: &D,
        method: Method,
        params: &Params,
        weight: Array2<f64>,
        [a, b]: [Array2<f64>; 2],
        tokens: usize,
    ) -> Result<Adapter<T, D>> {
        let scale = params.scaling.scale(params.alpha, a.nrows())?;
        if method == Method::LoraFa {
            let cpu = lora_fa::LoraFa::new(a, b, scale, params.variant)?;
            let layer = lora_fa::gpu::LoraFa::new(device, weight.view(), &cpu)?;
            let (saved, grads) = (layer.saved(tokens)?, layer.grads()?);
            return Ok(Adapter::LoraFa(layer, saved, grads));
        }
        let cpu = lora::Lora::new(a, b, scale)?;
        if method == Method::DeltaLora {
            let start = [cpu.a.clone(), cpu.b.clone()];
            let cpu = delta_lora::DeltaLora::resume(cpu, params.delta, params.start, start)?;
            let layer = delta_lora::gpu::DeltaLora::new(device, weight.view(), &cpu)?;
            let grads = layer.lora.grads()?;
            return Ok(Adapter::DeltaLora(layer, grads));
        }
        let layer = lora::gpu::Lora::new(device, weight.view(), &cpu)?;
        let grads = layer.grads()?;
        Ok(match method {
            Method::LoraPlus => {
                Adapter::LoraPlus(layer, Groups::new(params.optimizer.lr_ratio)?, grads)
            }
            _ => Adapter::Lora(layer, grads),
        })
    }

    /// x \[tokens, in\], to write.
    pub fn x_mut(&mut self) -> ViewMut<'_, T, D> {
        self.x_h.left_mut()
    }

    /// ∂L/∂y \[tokens, out\], to write.
    pub fn grad_y_mut(&mut self) -> ViewMut<'_, T, D> {
        self.grad_y_h.left_mut()
    }

    /// y from x.
    ///
    /// # Errors
    /// The device fails.
    pub fn forward(
        &mut self,
        dropout: Option<&mut Stream<'_, T, D>>,
        y: &mut Matrix<T, D>,
    ) -> Result<()> {
        let Self { adapter, x_h, .. } = self;
        let y = y.view_mut();
        match adapter {
            Adapter::Lora(layer, _) | Adapter::LoraPlus(layer, ..) => {
                layer.forward(x_h, dropout, y)
            }
            Adapter::DeltaLora(layer, _) => layer.lora.forward(x_h, dropout, y),
            Adapter::LoraFa(layer, saved, _) => layer.forward(x_h, dropout, y, saved),
            Adapter::Vera(layer, saved, _) => layer.forward(x_h, dropout, y, saved),
        }
    }

    /// ∂L/∂x from ∂L/∂y, and the gradients in their room.
    ///
    /// # Errors
    /// The device fails.
    pub fn backward(
        &mut self,
        dropout: Option<&mut Stream<'_, T, D>>,
        grad_x: &mut Matrix<T, D>,
    ) -> Result<()> {
        let Self { adapter, x_h, grad_y_h } = self;
        let grad_x = grad_x.view_mut();
        match adapter {
            Adapter::Lora(layer, grads) | Adapter::LoraPlus(layer, _, grads) => {
                layer.backward(x_h, dropout, grad_y_h, grad_x, grads)
            }
            Adapter::DeltaLora(layer, grads) => {
                layer.lora.backward(x_h, dropout, grad_y_h, grad_x, grads)
            }
            Adapter::LoraFa(layer, saved, grads) => {
                layer.backward(saved, dropout.as_deref(), grad_y_h, grad_x, grads)
            }
            Adapter::Vera(layer, saved, grads) => {
                layer.backward(saved, dropout.as_deref(), grad_y_h, grad_x, grads)
            }
        }
    }

    /// Gradients by the names of their tensors; LoRA-FA's projected one too, if it has one.
    ///
    /// # Errors
    /// The device fails.
    pub fn gradients(&mut self) -> Result<Named> {
        let mut named = Named::new();
        match &mut self.adapter {
            Adapter::Lora(_, grads)
            | Adapter::LoraPlus(_, _, grads)
            | Adapter::DeltaLora(_, grads) => {
                named.insert("grad_lora_A", grads.a.to_host()?);
                named.insert("grad_lora_B", grads.b[0].to_host()?);
            }
            Adapter::LoraFa(layer, _, grads) => {
                named.insert("grad_lora_B", grads.b[0].to_host()?);
                named.insert("projected_grad_lora_B", layer.direction(grads)?[0].to_host()?);
            }
            Adapter::Vera(_, _, grads) => {
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
        match &mut self.adapter {
            Adapter::Lora(_, grads)
            | Adapter::LoraPlus(_, _, grads)
            | Adapter::DeltaLora(_, grads) => {
                grads.a.write(grad("grad_lora_A").view())?;
                grads.b[0].write(grad("grad_lora_B").view())
            }
            Adapter::LoraFa(_, _, grads) => grads.b[0].write(grad("grad_lora_B").view()),
            Adapter::Vera(_, _, grads) => {
                grads.layers[0].lambda_b.write(grad("grad_vera_lambda_b").view())?;
                grads.layers[0].lambda_d.write(grad("grad_vera_lambda_d").view())
            }
        }
    }

    /// One update of the layer, under the name `layer`.
    ///
    /// # Errors
    /// The device fails.
    pub fn step(&mut self, optimizer: &mut AdamW<T, D>) -> Result<()> {
        match &mut self.adapter {
            Adapter::Lora(layer, grads) => {
                lora::gpu::step(&mut [("layer", layer, grads)], optimizer)
            }
            Adapter::LoraPlus(layer, groups, grads) => {
                lora_plus::gpu::step(&mut [("layer", layer, grads)], groups, optimizer)
            }
            Adapter::DeltaLora(layer, grads) => {
                delta_lora::gpu::step(&mut [("layer", layer, grads)], optimizer)
            }
            Adapter::LoraFa(layer, _, grads) => {
                lora_fa::gpu::step(&mut [("layer", layer, grads)], optimizer)
            }
            Adapter::Vera(layer, _, grads) => {
                vera::gpu::step(&mut [("layer", layer, grads)], optimizer)
            }
        }
    }

    /// W ← W + ΔW, or W − ΔW with a negative sign.
    ///
    /// # Errors
    /// The device fails.
    pub fn merge(&mut self, sign: f64) -> Result<()> {
        macro_rules! merge {
            ($layer:expr) => {
                if sign > 0.0 { $layer.merge() } else { $layer.unmerge() }
            };
        }
        match &mut self.adapter {
            Adapter::Lora(layer, _) | Adapter::LoraPlus(layer, ..) => merge!(layer.matrix),
            Adapter::DeltaLora(layer, _) => merge!(layer),
            Adapter::LoraFa(layer, ..) => merge!(layer.matrix_mut()),
            Adapter::Vera(layer, ..) => merge!(layer.matrix),
        }
    }

    /// W, from its master if it has one.
    ///
    /// # Errors
    /// The device fails.
    pub fn weight(&self) -> Result<Array2<f64>> {
        match &self.adapter {
            Adapter::DeltaLora(layer, _) => layer.weight_to_host(),
            other => other.matrix().weight().to_host(),
        }
    }

    /// What is trained, from the masters.
    ///
    /// # Errors
    /// The device fails.
    pub fn tensors(&self) -> Result<Named> {
        let mut named = Named::new();
        match &self.adapter {
            Adapter::Lora(layer, _) | Adapter::LoraPlus(layer, ..) => {
                named.insert("lora_A", layer.a().to_host()?);
                named.insert("lora_B", layer.segments()[0].b.to_host()?);
            }
            Adapter::DeltaLora(layer, _) => {
                named.insert("lora_A", layer.lora.a().to_host()?);
                named.insert("lora_B", layer.lora.segments()[0].b.to_host()?);
            }
            Adapter::LoraFa(layer, ..) => {
                named.insert("lora_B", layer.lora().segments()[0].b.to_host()?);
            }
            Adapter::Vera(layer, ..) => {
                named.insert("vera_lambda_b", layer.layers()[0].lambda_b.to_host()?);
                named.insert("vera_lambda_d", layer.layers()[0].lambda_d.to_host()?);
            }
        }
        Ok(named)
    }
}

impl<T: Element, D: Device> Adapter<T, D> {
    fn matrix(&self) -> &Bordered<T, D> {
        match self {
            Self::Lora(layer, _) | Self::LoraPlus(layer, ..) => &layer.matrix,
            Self::DeltaLora(layer, _) => &layer.lora.matrix,
            Self::LoraFa(layer, ..) => &layer.lora().matrix,
            Self::Vera(layer, ..) => &layer.matrix,
        }
    }
}
