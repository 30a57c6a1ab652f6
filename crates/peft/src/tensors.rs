//! An adapter's tensors: vectors and matrices of finite numbers.

use adapter::Real;
use ndarray::{Array, ArrayD, ArrayView, Dimension};
use tensor_file::TensorFile;

use crate::Result;
use crate::error::wrong;

/// A vector or a matrix of a file, rounded to `T`.
pub(crate) fn array<T: Real, D: Dimension>(
    file: &mut TensorFile,
    name: &str,
) -> Result<Array<T, D>> {
    let shape = &file.info(name)?.shape;
    if D::NDIM != Some(shape.len()) {
        let hint = match D::NDIM {
            Some(1) => "a vector is needed",
            _ => "only matrices of linear layers are supported",
        };
        return Err(wrong(format!("{name} has shape {shape:?}: {hint}")));
    }
    // Before they are rounded, so that a number too large is told apart from an infinite one.
    let numbers: ArrayD<f64> = file.array(name)?;
    check_finite(name, numbers.view())?;
    let rounded = numbers.mapv(T::from_f64);
    if !rounded.iter().all(|number| number.is_finite()) {
        return Err(wrong(format!("{name} holds a number too large for {}", T::NAME)));
    }
    Ok(rounded.into_dimensionality().expect("as many axes as were asked for"))
}

pub(crate) fn check_finite<T: Real, D: Dimension>(
    name: &str,
    numbers: ArrayView<'_, T, D>,
) -> Result<()> {
    match numbers.into_dyn().indexed_iter().find(|(_, number)| !number.is_finite()) {
        Some((at, number)) => Err(wrong(format!("{name} holds {number} at {:?}", at.slice()))),
        None => Ok(()),
    }
}
