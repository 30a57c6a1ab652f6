//! A layer's two branches, attention and the MLP: x + m · norm(block(norm(x))). Which of the two norms there are, and whether
//! the multiplier m is another than 1, is the architecture's: see [`Variant`](crate::Variant).

use std::borrow::Cow;

use adapter::Real;
use ndarray::{Array1, Array2};

use crate::{Llama, norm};

/// One branch, without its block. Gains are what the normed numbers are multiplied with, \[hidden\].
pub struct Branch<T> {
    before: Option<Array1<T>>,
    after: Option<Array1<T>>,
    multiplier: Option<T>,
    eps: f64,
}

/// What a branch keeps for its backward pass.
pub struct BranchSaved<T> {
    /// What went into it, \[tokens, hidden\].
    pub x: Array2<T>,
    /// 1/rms of each row of `x`.
    pub inverse: Option<Array1<T>>,
    /// What went into the norm after the block, \[tokens, hidden\], and its 1/rms.
    pub after: Option<(Array2<T>, Array1<T>)>,
}

/// Attention's, or the MLP's.
#[derive(Clone, Copy)]
pub enum Block {
    Attention,
    Mlp,
}

impl<T: Real> Llama<T> {
    pub(crate) fn branch(&self, layer: usize, block: Block) -> Branch<T> {
        let vectors = &self.layers[layer].vectors;
        let gain = |norms: &[Array1<T>; 2]| self.gain(&norms[block as usize]);
        Branch {
            before: vectors.before.as_ref().map(gain),
            after: vectors.after.as_ref().map(gain),
            multiplier: self.config.variant.residual_multiplier.map(T::from_f64),
            eps: self.config.rms_norm_eps,
        }
    }

    /// What a norm multiplies with, from its weight.
    pub(crate) fn gain(&self, weight: &Array1<T>) -> Array1<T> {
        match self.config.variant.gains_from_one {
            true => weight.mapv(|weight| T::one() + weight),
            false => weight.clone(),
        }
    }
}

impl<T: Real> Branch<T> {
    /// What the block reads, and 1/rms of each row.
    pub fn enter(&self, x: &Array2<T>) -> (Array2<T>, Option<Array1<T>>) {
        match &self.before {
            Some(gain) => {
                let (n, inverse) = norm::forward(x.view(), gain.view(), self.eps);
                (n, Some(inverse))
            }
            None => (x.clone(), None),
        }
    }

    /// x + m · norm(y) from the block's y, and what the norm keeps.
    pub fn leave(
        &self,
        mut y: Array2<T>,
        x: &Array2<T>,
    ) -> (Array2<T>, Option<(Array2<T>, Array1<T>)>) {
        let after = self.after.as_ref().map(|gain| norm::rows(&mut y, gain, self.eps));
        if let Some(multiplier) = self.multiplier {
            y.mapv_inplace(|y| multiplier * y);
        }
        y += x;
        (y, after)
    }

    /// From ∂L/∂(x + m · norm(y)) to ∂L/∂y, and of the norm's gain.
    pub fn leave_backward<'a>(
        &self,
        saved: &BranchSaved<T>,
        grad: &'a Array2<T>,
    ) -> (Cow<'a, Array2<T>>, Option<Array1<T>>) {
        let mut grad = Cow::Borrowed(grad);
        if let Some(multiplier) = self.multiplier {
            grad.to_mut().mapv_inplace(|grad| multiplier * grad);
        }
        let after = self.after.as_ref().zip(saved.after.as_ref());
        let gain = after.map(|(gain, saved)| norm::rows_backward(saved, gain, grad.to_mut()));
        (grad, gain)
    }

    /// From ∂L/∂(what the block read) to ∂L/∂x, which is added to `grad_x`, and of the norm's gain.
    pub fn enter_backward(
        &self,
        saved: &BranchSaved<T>,
        grad_n: &Array2<T>,
        grad_x: &mut Array2<T>,
    ) -> Option<Array1<T>> {
        let Some((gain, inverse)) = self.before.as_ref().zip(saved.inverse.as_ref()) else {
            *grad_x += grad_n;
            return None;
        };
        let x = saved.x.view();
        Some(norm::backward(x, gain.view(), inverse.view(), grad_n.view(), grad_x))
    }
}
