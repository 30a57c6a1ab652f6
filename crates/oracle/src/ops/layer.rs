//! One layer, whichever its method: the crates of the methods under one set of names. No method is computed here.

use std::collections::BTreeMap;
use std::sync::Arc;

use adapter::{Adapter, Dropout, Optimizer};
use delta_lora::DeltaLora;
use dora::Dora;
use lora::Lora;
use lora_fa::LoraFa;
use lora_plus::LoraPlus;
use ndarray::{ArcArray2, Array1, Array2, ArrayD, ArrayView2, ArrayViewMutD};
use vera::Vera;

use crate::error::{Error, Result, wrong};

/// Arrays by name.
pub(crate) type Named = BTreeMap<String, ArrayD<f64>>;

/// An adapter of one of the methods.
#[derive(Clone)]
pub(crate) enum Layer {
    Lora(Lora<f64>),
    LoraFa(LoraFa<f64>),
    Vera(Vera<f64>),
    DeltaLora(DeltaLora<f64>),
    LoraPlus(LoraPlus<f64>),
    Dora(Dora<f64>),
}

macro_rules! each {
    ($layer:expr, $adapter:ident => $body:expr) => {
        match $layer {
            Layer::Lora($adapter) => $body,
            Layer::LoraFa($adapter) => $body,
            Layer::Vera($adapter) => $body,
            Layer::DeltaLora($adapter) => $body,
            Layer::LoraPlus($adapter) => $body,
            Layer::Dora($adapter) => $body,
        }
    };
}

/// What forward and backward give, without the bias.
pub(crate) struct BackwardPass {
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
    ) -> Result<BackwardPass> {
        each!(self, adapter => {
            let (y, saved) = adapter.forward(weight.view(), &x.to_shared(), dropout)?;
            let (grad_x, grads) = adapter.backward(weight.view(), &saved, grad_y.view())?;
            Ok(BackwardPass { y, grad_x, gradients: named(&grads) })
        })
    }

    /// What LoRA-FA's optimiser is given for ∂L/∂B.
    pub fn direction(&self, grad_b: &ArrayD<f64>) -> Result<ArrayD<f64>> {
        let Self::LoraFa(lora_fa) = self else { return Ok(grad_b.clone()) };
        let grad_b = grad_b.view().into_dimensionality().map_err(wrong)?;
        Ok(lora_fa.direction(grad_b)?.into_dyn())
    }

    pub fn delta_weight(&self, weight: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        each!(self, adapter => Ok(adapter.delta_weight(weight)?))
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

    /// The method's own update rule.
    pub fn step(
        &mut self,
        weight: &mut Array2<f64>,
        gradients: &Named,
        optimizer: &mut dyn Optimizer<f64>,
    ) -> Result<()> {
        if let Self::Dora(dora) = self {
            return step_dora(dora, weight, gradients, optimizer);
        }
        each!(self, adapter => step(adapter, weight, gradients, optimizer))
    }
}

fn named(tensors: &impl adapter::Tensors<f64>) -> Named {
    // Inserted: `collect` would compile a sort for each type of adapter, and the pages load this.
    let mut named = Named::new();
    for (name, tensor) in tensors.tensors() {
        named.insert(name.to_owned(), tensor.to_owned());
    }
    named
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
    fill(&mut grads, gradients)?;
    Ok(adapter.step(weight, &grads, optimizer)?)
}

/// DoRA's forward needs a weight whose rows it can divide by, which an update does not have.
fn step_dora(
    adapter: &mut Dora<f64>,
    weight: &mut Array2<f64>,
    gradients: &Named,
    optimizer: &mut dyn Optimizer<f64>,
) -> Result<()> {
    let Dora { lora, magnitude } = &*adapter;
    let of_lora = lora::Grads { a: Array2::zeros(lora.a.dim()), b: Array2::zeros(lora.b.dim()) };
    let mut grads = dora::Grads { lora: of_lora, magnitude: Array1::zeros(magnitude.len()) };
    fill(&mut grads, gradients)?;
    Ok(adapter.step(weight, &grads, optimizer)?)
}

fn fill(grads: &mut impl adapter::Tensors<f64>, gradients: &Named) -> Result<()> {
    let one = |(name, mut gradient): (&'static str, ArrayViewMutD<'_, f64>)| {
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
    grads.tensors_mut().into_iter().try_for_each(one)
}
