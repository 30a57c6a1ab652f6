//! Named tensors: the trainable parameters of a method, or their gradients under the same names.

use ndarray::{ArrayViewD, ArrayViewMutD};

use crate::{Error, Real, Result};

/// What can list its tensors by name.
///
/// A method and its gradients list the same names in the same order, with the same shapes. Counting, saving,
/// clipping, accumulating and checking are written once, on top of this.
pub trait Tensors<T> {
    /// The tensors, in a fixed order. Names are PEFT's (`lora_A`, `lora_B`, ...).
    fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, T>)>;
    /// The same, to be changed.
    fn tensors_mut(&mut self) -> Vec<(&'static str, ArrayViewMutD<'_, T>)>;
}

/// The number of elements, of all tensors together.
pub fn count<T>(tensors: &(impl Tensors<T> + ?Sized)) -> usize {
    tensors.tensors().iter().map(|(_, t)| t.len()).sum()
}

/// Σ t², in `f64`: what a gradient's global norm is made of.
pub fn squared_norm<T: Real>(tensors: &(impl Tensors<T> + ?Sized)) -> f64 {
    tensors.tensors().iter().flat_map(|(_, t)| t.iter()).map(|&g| g.to_f64() * g.to_f64()).sum()
}

/// Multiply every tensor by `factor`.
pub fn scale<T: Real>(tensors: &mut (impl Tensors<T> + ?Sized), factor: f64) {
    let factor = T::from_f64(factor);
    for (_, mut tensor) in tensors.tensors_mut() {
        tensor.mapv_inplace(|value| value * factor);
    }
}

/// `sum += term`, tensor by tensor: gradient accumulation.
///
/// # Errors
/// The two differ in the names or the shapes of their tensors.
pub fn accumulate<T: Real>(
    sum: &mut (impl Tensors<T> + ?Sized),
    term: &(impl Tensors<T> + ?Sized),
) -> Result<()> {
    let (sums, terms) = (sum.tensors_mut(), term.tensors());
    if sums.len() != terms.len() {
        return Err(Error::value(
            "number of tensors",
            terms.len(),
            format!("the sum has {}", sums.len()),
        ));
    }
    for ((name, mut sum), (other, term)) in sums.into_iter().zip(terms) {
        if name != other {
            return Err(Error::value("tensor", other, format!("the sum has {name} here")));
        }
        crate::check_shape(name, term.shape(), sum.shape(), "the sum's shape")?;
        sum += &term;
    }
    Ok(())
}

/// The factor that brings a gradient of norm `norm` down to at most `max_norm`, as `torch.nn.utils.clip_grad_norm_`
/// has it: max_norm / (norm + 10⁻⁶), never above 1.
///
/// # Errors
/// `max_norm` is not positive, or `norm` is NaN or infinite (the loss diverged).
pub fn clip_factor(norm: f64, max_norm: f64) -> Result<f64> {
    if !(max_norm > 0.0) {
        return Err(Error::value("clip", max_norm, "the largest gradient norm must be positive"));
    }
    if !norm.is_finite() {
        return Err(Error::NotFinite {
            name: "the gradient norm".into(),
            hint: "training diverged; lower the learning rate".into(),
        });
    }
    Ok((max_norm / (norm + 1e-6)).min(1.0))
}
