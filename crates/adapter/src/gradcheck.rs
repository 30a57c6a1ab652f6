//! Is a derivative that was written by hand the derivative?
//!
//! Three answers, from the strictest down:
//! - [`exact`]: a linear layer with an adapter is affine in each single number, so on small integers
//!   f(p + 1) − f(p) *is* the derivative, with no rounding at all: compared with `==`.
//! - [`Dual`](crate::Dual) numbers: any function, to rounding error. Run the same generic code on them.
//! - [`central`]: any function, as a black box, to about ε^⅔.

mod layer;

use crate::{Error, Real, Result, Tensors};

pub use layer::{Gradients, Layer, SHAPES, integers};

/// Where a gradient and a finite difference disagree.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// The tensor.
    pub tensor: &'static str,
    /// Position in its row-major order.
    pub index: usize,
    /// What `backward` says.
    pub gradient: f64,
    /// What the difference of two losses says.
    pub difference: f64,
}

/// Compare `grads` with f(p + 1) − f(p) for every number p of `model`, bit for bit.
///
/// `loss` must be affine in each number, and everything in it a small integer (or a dyadic fraction) so that `f64`
/// computes it without rounding. Returns the mismatches: empty means equal.
///
/// # Errors
/// `loss` fails, or `grads` does not list the tensors of `model`, with their shapes.
pub fn exact<M: Tensors<f64>>(
    model: &mut M,
    grads: &impl Tensors<f64>,
    loss: impl FnMut(&M) -> Result<f64>,
) -> Result<Vec<Mismatch>> {
    let mut loss = loss;
    compare(model, grads, |model, tensor, index| {
        let here = loss(model)?;
        nudge(model, tensor, index, 1.0);
        let there = loss(model)?;
        nudge(model, tensor, index, -1.0);
        Ok((there - here, 0.0))
    })
}

/// Compare `grads` with (f(p + h) − f(p − h)) / 2h for every number p of `model`.
///
/// h = ∛u·max(1, |p|) balances the two errors: truncation, h²|f‴|/6, and rounding, u|f|/h. With |p| up to 5 and f and f‴
/// of order `magnitude` both are within the tolerance used, 10·u^⅔·`magnitude`, a few 10⁻¹⁰ in `f64`.
///
/// # Errors
/// `loss` fails, or `grads` does not list the tensors of `model`, with their shapes.
pub fn central<M: Tensors<f64>>(
    model: &mut M,
    grads: &impl Tensors<f64>,
    magnitude: f64,
    loss: impl FnMut(&M) -> Result<f64>,
) -> Result<Vec<Mismatch>> {
    let mut loss = loss;
    compare(model, grads, |model, tensor, index| {
        let p = nudge(model, tensor, index, 0.0);
        let h = f64::UNIT_ROUNDOFF.cbrt() * p.abs().max(1.0);
        let right = nudge(model, tensor, index, h);
        let above = loss(model)?;
        set(model, tensor, index, p - h);
        let left = nudge(model, tensor, index, 0.0);
        let below = loss(model)?;
        set(model, tensor, index, p);
        let tolerance = 10.0 * f64::UNIT_ROUNDOFF.powf(2.0 / 3.0) * magnitude;
        Ok(((above - below) / (right - left), tolerance))
    })
}

fn compare<M: Tensors<f64>>(
    model: &mut M,
    grads: &impl Tensors<f64>,
    mut difference: impl FnMut(&mut M, usize, usize) -> Result<(f64, f64)>,
) -> Result<Vec<Mismatch>> {
    let names: Vec<_> =
        model.tensors().iter().map(|(name, t)| (*name, t.shape().to_vec())).collect();
    let listed: Vec<_> =
        grads.tensors().iter().map(|(name, t)| (*name, t.shape().to_vec())).collect();
    if names != listed {
        let hint = format!("the model has {names:?}, in this order");
        return Err(Error::value("gradients", format!("{listed:?}"), hint));
    }
    let mut mismatches = Vec::new();
    for (tensor, (name, gradient)) in grads.tensors().iter().enumerate() {
        for (index, &gradient) in gradient.iter().enumerate() {
            let (difference, tolerance) = difference(model, tensor, index)?;
            if !((gradient - difference).abs() <= tolerance) {
                mismatches.push(Mismatch { tensor: name, index, gradient, difference });
            }
        }
    }
    Ok(mismatches)
}

/// Add to one number of the model; returns the new value, as rounded.
fn nudge<M: Tensors<f64>>(model: &mut M, tensor: usize, index: usize, by: f64) -> f64 {
    let mut tensors = model.tensors_mut();
    let value = tensors[tensor].1.iter_mut().nth(index).expect("index below len");
    *value += by;
    *value
}

fn set<M: Tensors<f64>>(model: &mut M, tensor: usize, index: usize, value: f64) {
    let mut tensors = model.tensors_mut();
    *tensors[tensor].1.iter_mut().nth(index).expect("index below len") = value;
}
