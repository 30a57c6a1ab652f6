//! A linear layer that has something to learn.

use adapter::{Adapter, Optimizer, Result};
use ndarray::{ArcArray2, Array2};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use rank::frobenius;

/// L = ‖y − target‖²_F / (2 · tokens), with Gaussian weight, input and target.
pub struct Problem {
    /// W, \[out, in\].
    pub weight: Array2<f64>,
    /// x, \[tokens, in\].
    pub x: ArcArray2<f64>,
    /// \[tokens, out\].
    pub target: Array2<f64>,
}

impl Problem {
    /// A problem for a weight of shape `[out, inputs]`.
    pub fn new(tokens: usize, [out, inputs]: [usize; 2], rng: &mut impl Rng) -> Self {
        Self {
            weight: gaussian(out, inputs, rng),
            x: gaussian(tokens, inputs, rng).into_shared(),
            target: gaussian(tokens, out, rng),
        }
    }

    /// ∂L/∂y = (y − target)/tokens, and the adapter's gradients.
    pub fn gradients<A: Adapter<f64>>(
        &self,
        adapter: &A,
        weight: &Array2<f64>,
    ) -> Result<(Array2<f64>, A::Grads)> {
        let (y, saved) = adapter.forward(weight.view(), &self.x, None)?;
        let grad_y = (y - &self.target) / self.x.nrows() as f64;
        let (_, grads) = adapter.backward(weight.view(), &saved, grad_y.view())?;
        Ok((grad_y, grads))
    }

    /// The adapter and its layer's weight after `steps`.
    pub fn train<A: Adapter<f64>>(
        &self,
        mut adapter: A,
        optimizer: &mut dyn Optimizer<f64>,
        steps: usize,
    ) -> Result<(A, Array2<f64>)> {
        let mut weight = self.weight.clone();
        for _ in 0..steps {
            let (_, grads) = self.gradients(&adapter, &weight)?;
            adapter.step(&mut weight, &grads, optimizer)?;
        }
        Ok((adapter, weight))
    }
}

/// Entries from N(0, 1).
pub fn gaussian(rows: usize, columns: usize, rng: &mut impl Rng) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(rng))
}

/// Orthonormal columns that span a random subspace: U of a Gaussian matrix.
pub fn orthonormal(rows: usize, columns: usize, rng: &mut impl Rng) -> Result<Array2<f64>> {
    Ok(rank::svd(gaussian(rows, columns, rng).view())?.u)
}

/// ‖got − want‖_F / ‖want‖_F: NaN when there is nothing to get, so that doing nothing is never right.
pub fn relative_error(got: &Array2<f64>, want: &Array2<f64>) -> f64 {
    frobenius(&(got - want)) / frobenius(want)
}
