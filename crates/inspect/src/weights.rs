//! The matrices of a model, one at a time.

use std::cell::RefCell;
use std::collections::BTreeMap;

use llama::load::Opened;
use ndarray::Array2;

use crate::Result;

const HEAD: &str = "lm_head";

/// The matrices of a model on disk, by all names that an adapter can use: one of the decoder alone lacks the `model.`, and a
/// tied model has its output matrix too. A matrix is read when it is asked for, and nobody keeps it: so a model is looked into
/// that is larger than the memory.
pub struct Weights {
    /// Reading moves the place in a file, which concerns nobody else.
    model: RefCell<Opened>,
    /// By module: the tensor's name, and its shape.
    matrices: BTreeMap<String, (String, [usize; 2])>,
}

impl Weights {
    /// Those of this model.
    pub fn new(model: Opened) -> Self {
        let head = [model.config.vocab_size, model.config.hidden_size];
        let mut matrices = BTreeMap::from([(HEAD.to_owned(), (format!("{HEAD}.weight"), head))]);
        for (name, shape) in model.config.tensors() {
            let Ok(shape) = <[usize; 2]>::try_from(shape) else { continue };
            let module = name.strip_suffix(".weight").unwrap_or(&name);
            for module in [Some(module), module.strip_prefix("model.")].into_iter().flatten() {
                matrices.insert(module.to_owned(), (name.clone(), shape));
            }
        }
        Self { model: RefCell::new(model), matrices }
    }

    /// \[out, in\] of a module, if the model has it.
    pub fn shape(&self, module: &str) -> Option<[usize; 2]> {
        self.matrices.get(module).map(|(_, shape)| *shape)
    }

    /// W \[out, in\] of a module, if the model has it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self, module: &str) -> Result<Option<Array2<f64>>> {
        let Some((name, _)) = self.matrices.get(module) else { return Ok(None) };
        Ok(Some(self.model.borrow_mut().matrix(name)?))
    }
}
