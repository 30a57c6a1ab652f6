//! One adapted layer on small integers, with everything its loss depends on: what it takes to check any [`Adapter`].
//!
//! y is affine in each single number of x and of the trained tensors, and in `f64` small integers do not round, so
//! f(p + 1) − f(p) is the derivative itself.

use std::sync::Arc;

use ndarray::{ArcArray2, Array2, ArrayViewD, ArrayViewMutD};
use rand::Rng;

use super::{Mismatch, exact};
use crate::{Adapter, Dropout, Result, Tensors};

/// \[tokens, out, in, r\]: rank 1, rank above both sides, one token, none, one output, one input.
pub const SHAPES: [[usize; 4]; 8] = [
    [3, 4, 5, 2],
    [3, 5, 4, 1],
    [2, 3, 2, 4],
    [1, 4, 3, 2],
    [0, 4, 3, 2],
    [4, 1, 3, 1],
    [4, 3, 1, 1],
    [7, 6, 9, 3],
];

/// Integers from −4 to 4.
pub fn integers(rng: &mut impl Rng, rows: usize, columns: usize) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || f64::from(rng.next_u32() % 9) - 4.0)
}

/// An adapter with its layer's weight, its input, and the gradient of the loss by its output. As [`Tensors`]: x, then
/// what the adapter trains.
#[derive(Clone, Debug)]
pub struct Layer<A> {
    /// \[out, in\].
    pub weight: Array2<f64>,
    /// What is checked.
    pub adapter: A,
    /// \[tokens, in\].
    pub x: ArcArray2<f64>,
    /// \[tokens, out\].
    pub grad_y: Array2<f64>,
    /// A mask on the adapter's input.
    pub dropout: Option<Arc<Dropout>>,
}

/// The gradients of a [`Layer`]'s tensors.
#[derive(Clone, Debug)]
pub struct Gradients<G> {
    /// ∂L/∂x.
    pub x: Array2<f64>,
    /// Of what the adapter trains.
    pub adapter: G,
}

impl<A: Adapter<f64>> Layer<A> {
    /// Random integers; `make` builds the adapter. The mask, when there is one, drops about half, and 1/(1 − p) is a
    /// power of two.
    pub fn new<R: Rng>(
        [tokens, out, inputs, _]: [usize; 4],
        drop: bool,
        rng: &mut R,
        make: impl FnOnce(&mut R) -> A,
    ) -> Self {
        let mask = integers(rng, tokens, inputs).mapv(|value| u8::from(value > 0.0));
        Self {
            weight: integers(rng, out, inputs),
            x: integers(rng, tokens, inputs).into_shared(),
            grad_y: integers(rng, tokens, out),
            dropout: drop.then(|| Dropout::new(mask, 0.5).expect("p is valid")),
            adapter: make(rng),
        }
    }

    /// y and what backward needs.
    ///
    /// # Errors
    /// The adapter's.
    pub fn forward(&self) -> Result<(Array2<f64>, A::Saved)> {
        self.adapter.forward(self.weight.view(), &self.x, self.dropout.as_ref())
    }

    /// What `backward` says.
    ///
    /// # Errors
    /// The adapter's.
    pub fn gradients(&self) -> Result<Gradients<A::Grads>> {
        let (_, saved) = self.forward()?;
        let (x, adapter) = self.adapter.backward(self.weight.view(), &saved, self.grad_y.view())?;
        Ok(Gradients { x, adapter })
    }

    /// Where `gradients` differ from f(p + 1) − f(p), for the loss Σ y ⊙ grad_y, whose gradient by y is grad_y.
    ///
    /// # Errors
    /// The adapter's.
    pub fn mismatches(&mut self, gradients: &Gradients<A::Grads>) -> Result<Vec<Mismatch>> {
        exact(self, gradients, |layer| Ok((layer.forward()?.0 * &layer.grad_y).sum()))
    }
}

impl<A: Tensors<f64>> Tensors<f64> for Layer<A> {
    fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, f64>)> {
        let x = ("x", self.x.view().into_dyn());
        std::iter::once(x).chain(self.adapter.tensors()).collect()
    }
    fn tensors_mut(&mut self) -> Vec<(&'static str, ArrayViewMutD<'_, f64>)> {
        let x = ("x", self.x.view_mut().into_dyn());
        std::iter::once(x).chain(self.adapter.tensors_mut()).collect()
    }
}

impl<G: Tensors<f64>> Tensors<f64> for Gradients<G> {
    fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, f64>)> {
        let x = ("x", self.x.view().into_dyn());
        std::iter::once(x).chain(self.adapter.tensors()).collect()
    }
    fn tensors_mut(&mut self) -> Vec<(&'static str, ArrayViewMutD<'_, f64>)> {
        let x = ("x", self.x.view_mut().into_dyn());
        std::iter::once(x).chain(self.adapter.tensors_mut()).collect()
    }
}
