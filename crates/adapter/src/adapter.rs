//! The trait every method implements: four functions and a list of named tensors.

use std::sync::Arc;

use ndarray::{ArcArray2, Array2, ArrayView2};

use crate::{Bytes, Dropout, Optimizer, Real, Result, Tensors, check_shape, tensors};

/// A way to fine-tune one linear layer y = x Wᵀ.
///
/// Shapes: `weight` W is \[out, in\] as in PyTorch, `x` is \[tokens, in\], `y` and `grad_y` are \[tokens, out\].
/// The layer, not the adapter, adds a bias. `T` is `f64` for the reference, `f32` for speed.
///
/// As [`Tensors`] it lists what it trains; as [`Bytes`] it counts all it holds, frozen matrices included, and those it
/// shares with other adapters once.
///
/// Every function returns an error that names the tensor when a shape does not fit.
pub trait Adapter<T: Real>: Tensors<T> + Bytes {
    /// What `forward` keeps for `backward`, and no more.
    type Saved: Bytes;
    /// The gradients, under the names of the tensors they belong to.
    type Grads: Tensors<T>;

    /// y = x Wᵀ + the method's term, and what `backward` needs.
    ///
    /// `dropout` applies to the method's term only; `None` when evaluating.
    fn forward(
        &self,
        weight: ArrayView2<'_, T>,
        x: &ArcArray2<T>,
        dropout: Option<&Arc<Dropout>>,
    ) -> Result<(Array2<T>, Self::Saved)>;

    /// From ∂L/∂y to ∂L/∂x and the gradients of the trainable tensors.
    fn backward(
        &self,
        weight: ArrayView2<'_, T>,
        saved: &Self::Saved,
        grad_y: ArrayView2<'_, T>,
    ) -> Result<(Array2<T>, Self::Grads)>;

    /// The method's update rule. Here the plain one, of which most are variations: every tensor follows its gradient at
    /// the optimiser's rate, and `weight` stays.
    fn step(
        &mut self,
        _weight: &mut Array2<T>,
        grads: &Self::Grads,
        optimizer: &mut dyn Optimizer<T>,
    ) -> Result<()> {
        let group = optimizer.group();
        tensors::update(self, grads, optimizer, |_, _| group)
    }

    /// ΔW \[out, in\]: what merging adds to W. Most do not need `weight` for it but to check that it fits.
    fn delta_weight(&self, weight: ArrayView2<'_, T>) -> Result<Array2<T>>;

    /// W ← W + ΔW. Afterwards the layer runs without the adapter.
    fn merge(&self, weight: &mut Array2<T>) -> Result<()> {
        let delta = self.delta_weight(weight.view())?;
        check_shape("weight", weight.shape(), delta.shape(), "the shape of ΔW")?;
        *weight += &delta;
        Ok(())
    }

    /// W ← W − ΔW, for a `weight` that this adapter was merged into. Equal to the W before [`merge`](Self::merge) up to
    /// rounding: keep W₀ to have it exactly. A method whose ΔW depends on W writes its own.
    fn unmerge(&self, weight: &mut Array2<T>) -> Result<()> {
        let delta = self.delta_weight(weight.view())?;
        check_shape("weight", weight.shape(), delta.shape(), "the shape of ΔW")?;
        *weight -= &delta;
        Ok(())
    }
}
