//! Full fine-tuning: every element of W is trained. The baseline of all the methods.

use std::sync::Arc;

use ndarray::{ArcArray2, Array2, ArrayView2, ArrayViewD, ArrayViewMutD};

use crate::parallel::multiply;
use crate::{Adapter, Bytes, Dropout, Ledger, Optimizer, Real, Result, Tensors, check_shape};

/// Trains W itself, so it owns no tensors.
#[derive(Clone, Copy, Debug, Default)]
pub struct Full;

/// Nothing: W belongs to the model.
impl Bytes for Full {
    fn count(&self, _: &mut Ledger) {}
}

/// The whole input.
#[derive(Debug)]
pub struct FullSaved<T> {
    x: ArcArray2<T>,
}

impl<T> Bytes for FullSaved<T> {
    fn count(&self, ledger: &mut Ledger) {
        ledger.shared(&self.x);
    }
}

/// ∂L/∂W.
#[derive(Clone, Debug)]
pub struct FullGrads<T> {
    /// \[out, in\].
    pub weight: Array2<T>,
}

crate::tensors!(FullGrads { "weight" => weight });

/// None: W belongs to the model.
impl<T> Tensors<T> for Full {
    fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, T>)> {
        Vec::new()
    }
    fn tensors_mut(&mut self) -> Vec<(&'static str, ArrayViewMutD<'_, T>)> {
        Vec::new()
    }
}

impl<T: Real> Adapter<T> for Full {
    type Saved = FullSaved<T>;
    type Grads = FullGrads<T>;

    /// y = x Wᵀ. There is no method's term for dropout to act on, so the mask is not used.
    fn forward(
        &self,
        weight: ArrayView2<'_, T>,
        x: &ArcArray2<T>,
        _dropout: Option<&Arc<Dropout>>,
    ) -> Result<(Array2<T>, Self::Saved)> {
        let y = crate::linear::forward(weight, x.view())?; // [tokens, in]·[in, out] → [tokens, out]
        Ok((y, FullSaved { x: x.clone() }))
    }

    // ANCHOR: backward
    /// ∂L/∂x = ∂L/∂y W and ∂L/∂W = (∂L/∂y)ᵀ x.
    fn backward(
        &self,
        weight: ArrayView2<'_, T>,
        saved: &Self::Saved,
        grad_y: ArrayView2<'_, T>,
    ) -> Result<(Array2<T>, Self::Grads)> {
        let tokens = saved.x.nrows();
        check_shape("x", saved.x.shape(), &[tokens, weight.ncols()], "[tokens, in]")?;
        check_shape("grad_y", grad_y.shape(), &[tokens, weight.nrows()], "the shape of y")?;
        let grad_x = crate::linear::backward(weight, grad_y)?; // [tokens, out]·[out, in] → [tokens, in]
        let weight = multiply(grad_y.t(), saved.x.view()); // [out, tokens]·[tokens, in] → [out, in]
        Ok((grad_x, FullGrads { weight }))
    }
    // ANCHOR_END: backward

    fn step(
        &mut self,
        weight: &mut Array2<T>,
        grads: &Self::Grads,
        optimizer: &mut dyn Optimizer<T>,
    ) -> Result<()> {
        let group = optimizer.group();
        optimizer.update(
            "weight",
            weight.view_mut().into_dyn(),
            grads.weight.view().into_dyn(),
            group,
        )
    }

    /// Zero: what was learnt is in W already.
    fn delta_weight(&self, weight: ArrayView2<'_, T>) -> Result<Array2<T>> {
        Ok(Array2::zeros(weight.dim()))
    }
}
