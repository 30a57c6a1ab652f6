//! An adapter's tensors: arrays of finite numbers, by their usual names.

use std::collections::BTreeMap;

use adapter::Real;
use ndarray::{Array, ArrayD, ArrayView, Dimension};
use tensor_file::TensorFile;

use crate::Result;
use crate::error::wrong;
use crate::keys::usual_spelling;

/// The file of an adapter's tensors.
pub(crate) struct Tensors {
    file: TensorFile,
    /// In their usual spelling, in the file's order.
    names: Vec<String>,
    /// The file's keys by their usual spelling.
    keys: BTreeMap<String, String>,
}

impl Tensors {
    pub fn new(file: TensorFile) -> Result<Self> {
        let pairs = usual_spelling(file.names())?;
        let names = pairs.iter().map(|(usual, _)| usual.clone()).collect();
        Ok(Self { file, names, keys: pairs.into_iter().collect() })
    }

    /// In their usual spelling, in the file's order.
    pub fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    /// As the file has it.
    pub fn key(&self, name: &str) -> String {
        self.keys.get(name).map_or(name, String::as_str).to_owned()
    }

    /// A vector or a matrix, rounded to `T`.
    pub fn array<T: Real, D: Dimension>(&mut self, name: &str) -> Result<Array<T, D>> {
        let key = self.key(name);
        let shape = &self.file.info(&key)?.shape;
        if D::NDIM != Some(shape.len()) {
            let hint = match D::NDIM {
                Some(1) => "a vector is needed",
                _ => "only matrices of linear layers are supported",
            };
            return Err(wrong(format!("{key} has shape {shape:?}: {hint}")));
        }
        let array = self.any(name)?;
        Ok(array.into_dimensionality().expect("as many axes as were asked for"))
    }

    /// The same, whatever its shape.
    pub fn any<T: Real>(&mut self, name: &str) -> Result<ArrayD<T>> {
        let key = self.key(name);
        // Before they are rounded, so that a number too large is told apart from an infinite one.
        let numbers: ArrayD<f64> = self.file.array(&key)?;
        check_finite(&key, numbers.view())?;
        let rounded = numbers.mapv(T::from_f64);
        if !rounded.iter().all(|number| number.is_finite()) {
            return Err(wrong(format!("{key} holds a number too large for {}", T::NAME)));
        }
        Ok(rounded)
    }
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
