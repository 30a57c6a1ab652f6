//! Changes of whole tensors: what a fine-tuned model has beside the adapters of its projections.

use std::collections::BTreeMap;

use adapter::{Real, check_shape};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayD, ArrayViewMutD, Ix2};

use crate::{Config, Llama, Result};

pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
pub(crate) const HEAD: &str = "lm_head.weight";

/// What becomes of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<T> {
    /// Another takes its place.
    Replace(ArrayD<T>),
    /// This is added.
    Add(ArrayD<T>),
    /// B A is added to a matrix: B \[out, r\] and A \[r, in\].
    AddProduct(Array2<T>, Array2<T>),
}

impl<T> Change<T> {
    /// Of the tensor that it changes.
    fn shape(&self) -> Vec<usize> {
        match self {
            Self::Replace(tensor) | Self::Add(tensor) => tensor.shape().to_vec(),
            Self::AddProduct(b, a) => vec![b.nrows(), a.ncols()],
        }
    }
}

/// The changes of a model, each tensor's in their order.
///
/// An embedding that is the output matrix too ("tied") is changed in one of its two uses: the changed model has two
/// matrices.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes<T> {
    by_name: BTreeMap<String, Vec<Change<T>>>,
}

impl<T> Default for Changes<T> {
    fn default() -> Self {
        Self { by_name: BTreeMap::new() }
    }
}

impl<T> Changes<T> {
    /// One more, of the tensor that a Hugging Face checkpoint calls `name`.
    pub fn push(&mut self, name: impl Into<String>, change: Change<T>) {
        self.by_name.entry(name.into()).or_default().push(change);
    }

    /// Is there nothing to change?
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The names of the tensors that are changed.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The changed model's configuration.
    pub fn config(&self, config: &Config) -> Config {
        let untied = self.contains(EMBEDDING) || self.contains(HEAD);
        let tie_word_embeddings = config.tie_word_embeddings && !untied;
        Config { tie_word_embeddings, ..config.clone() }
    }
}

impl<T: Real> Changes<T> {
    /// Does the model, once it is changed, have these tensors in these shapes?
    ///
    /// # Errors
    /// It lacks one, or has it in another shape.
    pub fn check(&self, config: &Config) -> Result<()> {
        let tensors: BTreeMap<String, Vec<usize>> =
            self.config(config).tensors().into_iter().collect();
        for (name, changes) in &self.by_name {
            let Some(shape) = tensors.get(name) else {
                let hint = match changes.iter().any(|change| matches!(change, Change::Add(_))) {
                    true => {
                        "an adapter adds to it, and this model has no such bias: PEFT computes with lora_bias beside a \
                         model without biases, and cannot merge it either"
                    }
                    false => {
                        "an adapter changes it, and this model has none: was it made for another one?"
                    }
                };
                return Err(adapter::Error::value("tensor", name, hint).into());
            };
            for change in changes {
                let hint =
                    "as in this model: was the vocabulary resized, or is it another model's?";
                check_shape(format!("what changes {name}"), &change.shape(), shape, hint)?;
                if let Change::AddProduct(b, a) = change {
                    check_shape(
                        format!("B of {name}"),
                        b.shape(),
                        &[shape[0], a.nrows()],
                        "[out, r]",
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Change a tensor. The changes were checked.
    pub(crate) fn apply(&self, name: &str, mut tensor: ArrayViewMutD<'_, T>) {
        for change in self.by_name.get(name).into_iter().flatten() {
            match change {
                Change::Replace(other) => tensor.assign(other),
                Change::Add(other) => tensor += other,
                Change::AddProduct(b, a) => {
                    let matrix = tensor.view_mut().into_dimensionality::<Ix2>();
                    let mut matrix = matrix.expect("a product has two axes");
                    general_mat_mul(T::one(), b, a, T::one(), &mut matrix); // [out, r]·[r, in]
                }
            }
        }
    }
}

impl<T: Real> Llama<T> {
    /// Change the model.
    ///
    /// # Errors
    /// It lacks a tensor, or has it in another shape.
    pub fn change(&mut self, changes: &Changes<T>) -> Result<()> {
        changes.check(&self.config)?;
        self.config = changes.config(&self.config);
        if self.head.is_none() && !self.config.tie_word_embeddings {
            self.head = Some(self.embedding.clone());
        }
        changes.apply(EMBEDDING, self.embedding.view_mut().into_dyn());
        for (i, layer) in self.layers.iter_mut().enumerate() {
            for (projection, weight) in &mut layer.projections {
                let name = format!("{}.weight", projection.module(i));
                changes.apply(&name, weight.view_mut().into_dyn());
            }
            for (name, vector) in layer.vectors.named_mut() {
                let name = format!("model.layers.{i}.{name}");
                changes.apply(&name, vector.view_mut().into_dyn());
            }
        }
        changes.apply("model.norm.weight", self.norm.view_mut().into_dyn());
        if let Some(head) = &mut self.head {
            changes.apply(HEAD, head.view_mut().into_dyn());
        }
        Ok(())
    }
}
