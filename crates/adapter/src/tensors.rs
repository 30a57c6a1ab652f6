//! Named tensors: the trainable parameters of a method, or their gradients under the same names.

use ndarray::{ArrayViewD, ArrayViewMutD};

use crate::{Error, Group, Optimizer, Real, Result};

/// What can list its tensors by name.
///
/// A method and its gradients list the same names in the same order, with the same shapes. Counting, saving,
/// clipping, accumulating and checking are written once, on top of this.
pub trait Tensors<T> {
    /// The tensors, in a fixed order. Names are PEFT's (`lora_A`, `lora_B`, ...).
    fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, T>)>;
    /// Those of [`tensors`](Self::tensors), in the same order, to be changed.
    fn tensors_mut(&mut self) -> Vec<(&'static str, ArrayViewMutD<'_, T>)>;
}

/// Writes [`Tensors`] for structs that are generic over the number type, from one list of names and fields.
///
/// ```
/// use adapter::Tensors;
/// use ndarray::{Array1, Array2};
///
/// struct Pair<T> {
///     a: Array2<T>,
/// }
/// struct Scaled<T> {
///     pair: Pair<T>,
///     gain: Array1<T>,
/// }
/// adapter::tensors!(Scaled { "lora_A" => pair.a, "gain" => gain });
///
/// let scaled = Scaled { pair: Pair { a: Array2::<f64>::zeros((2, 3)) }, gain: Array1::ones(3) };
/// assert_eq!(scaled.tensors()[0].0, "lora_A");
/// assert_eq!(adapter::tensors::count(&scaled), 9);
/// ```
///
/// A method and its gradients share a list: `tensors!(Lora, Grads { "lora_A" => a, "lora_B" => b })`.
#[macro_export]
macro_rules! tensors {
    ($first:ident, $($other:ident),+ $fields:tt) => {
        $crate::tensors!($first $fields);
        $crate::tensors!($($other),+ $fields);
    };
    ($owner:ident { $($name:literal => $field:ident $(. $inner:ident)*),+ $(,)? }) => {
        impl<T> $crate::Tensors<T> for $owner<T> {
            fn tensors(&self) -> Vec<(&'static str, ::ndarray::ArrayViewD<'_, T>)> {
                vec![$(($name, self.$field$(.$inner)*.view().into_dyn())),+]
            }
            fn tensors_mut(&mut self) -> Vec<(&'static str, ::ndarray::ArrayViewMutD<'_, T>)> {
                vec![$(($name, self.$field$(.$inner)*.view_mut().into_dyn())),+]
            }
        }
    };
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
/// The two differ in the names or the shapes of their tensors; then nothing was added.
pub fn accumulate<T: Real>(
    sum: &mut (impl Tensors<T> + ?Sized),
    term: &(impl Tensors<T> + ?Sized),
) -> Result<()> {
    for (_, mut sum, term) in pairs("the sum", sum, term)? {
        sum += &term;
    }
    Ok(())
}

/// One update of every tensor along its gradient, at the rate and decay that `group` gives for its name and number of
/// dimensions.
///
/// # Errors
/// The gradients do not have the names and shapes of the parameters; then nothing has moved. Or as [`Optimizer::update`].
pub fn update<T>(
    parameters: &mut (impl Tensors<T> + ?Sized),
    gradients: &(impl Tensors<T> + ?Sized),
    optimizer: &mut dyn Optimizer<T>,
    group: impl Fn(&str, usize) -> Group,
) -> Result<()> {
    for (name, parameter, gradient) in pairs("the method", parameters, gradients)? {
        let group = group(name, parameter.ndim());
        optimizer.update(name, parameter, gradient, group)?;
    }
    Ok(())
}

/// Tensors with the same name and shape; `owner` is what errors call the first of the two. All are compared before the first
/// is handed out, so that what is refused is not half done.
fn pairs<'a, T>(
    owner: &str,
    one: &'a mut (impl Tensors<T> + ?Sized),
    other: &'a (impl Tensors<T> + ?Sized),
) -> Result<Vec<(&'static str, ArrayViewMutD<'a, T>, ArrayViewD<'a, T>)>> {
    let (ones, others) = (one.tensors_mut(), other.tensors());
    if ones.len() != others.len() {
        let hint = format!("{owner} has {}", ones.len());
        return Err(Error::value("number of tensors", others.len(), hint));
    }
    let mut pairs = Vec::with_capacity(ones.len());
    for ((name, one), (other_name, other)) in ones.into_iter().zip(others) {
        if name != other_name {
            return Err(Error::value("tensor", other_name, format!("{owner} has {name} here")));
        }
        let hint = format!("the shape that {owner} has");
        crate::check_shape(name, other.shape(), one.shape(), hint)?;
        pairs.push((name, one, other));
    }
    Ok(pairs)
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
