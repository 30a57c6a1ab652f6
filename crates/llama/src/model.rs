//! The weights of a model, and where each one is.

use std::collections::BTreeMap;
use std::convert::Infallible;

use adapter::{Real, check_shape};
use ndarray::{Array1, Array2, ArrayD, ArrayViewD};

use crate::changes::{EMBEDDING, HEAD};
use crate::vectors::Vectors;
use crate::{Config, Error, Projection, Result};

/// One decoder layer.
#[derive(Clone, Debug)]
pub struct Layer<T> {
    /// The gains of its norms, and the biases.
    pub vectors: Vectors<T>,
    /// The weights of [`Config::projections`], each \[out, in\].
    pub projections: BTreeMap<Projection, Array2<T>>,
}

impl<T> Layer<T> {
    /// The weight of one projection, \[out, in\].
    pub fn weight(&self, projection: Projection) -> &Array2<T> {
        &self.projections[&projection]
    }

    /// The weight of one projection, to be changed.
    pub fn weight_mut(&mut self, projection: Projection) -> &mut Array2<T> {
        self.projections.get_mut(&projection).expect("a projection of this model")
    }
}

/// A Llama-architecture decoder: the weights. See [`forward`](Self::forward) for what it computes.
#[derive(Clone, Debug)]
pub struct Llama<T> {
    /// Its shape.
    pub config: Config,
    /// \[vocabulary, hidden\].
    pub embedding: Array2<T>,
    /// The decoder layers, first to last.
    pub layers: Vec<Layer<T>>,
    /// Gain of the last RMSNorm, \[hidden\].
    pub norm: Array1<T>,
    /// The output matrix \[vocabulary, hidden\]; `None` when it is the embedding ("tied").
    pub head: Option<Array2<T>>,
}

impl Config {
    /// Every tensor of such a model by its name in a Hugging Face checkpoint, and its shape, in the order in which
    /// [`Llama::build`] asks for them. They are as many as the configuration says: see
    /// [`try_for_each_tensor`](Self::try_for_each_tensor) for one that nobody has checked yet.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let mut all = Vec::new();
        let listed = self.try_for_each_tensor(|name, shape| {
            all.push((name.to_owned(), shape.to_vec()));
            Ok::<_, Infallible>(())
        });
        listed.expect("nothing that can fail");
        all
    }

    /// Each of [`tensors`](Self::tensors), until one fails.
    ///
    /// # Errors
    /// Those of `each`.
    pub fn try_for_each_tensor<E>(
        &self,
        mut each: impl FnMut(&str, &[usize]) -> Result<(), E>,
    ) -> Result<(), E> {
        let matrix = [self.vocab_size, self.hidden_size];
        each("model.embed_tokens.weight", &matrix)?;
        for layer in 0..self.num_hidden_layers {
            for projection in self.projections() {
                each(&format!("{}.weight", projection.module(layer)), &projection.shape(self))?;
            }
            Vectors::<()>::build(self, |name, length| {
                each(&format!("model.layers.{layer}.{name}"), &[length])?;
                Ok(Array1::default(0))
            })?;
        }
        each("model.norm.weight", &[self.hidden_size])?;
        match self.tie_word_embeddings {
            true => Ok(()),
            false => each("lm_head.weight", &matrix),
        }
    }
}

impl Config {
    /// \[out, in\] of a matrix by its name; `lm_head.weight` has one in a tied model too.
    ///
    /// # Errors
    /// The model has no matrix of this name.
    pub fn matrix_shape(&self, name: &str) -> Result<[usize; 2]> {
        if name == HEAD {
            return Ok([self.vocab_size, self.hidden_size]);
        }
        let found = self.tensors().into_iter().find(|(known, _)| known == name);
        found.and_then(|(_, shape)| shape.try_into().ok()).ok_or_else(|| {
            adapter::Error::value("matrix", name, "this model has none of this name").into()
        })
    }
}

impl<T: Real> Llama<T> {
    /// One of the matrices, \[out, in\], in `f64`. `lm_head.weight` is there in a model that ties it too.
    ///
    /// # Errors
    /// The model has none of this name.
    pub fn matrix(&self, name: &str) -> Result<Array2<f64>> {
        self.config.matrix_shape(name)?;
        let name = if self.head.is_none() && name == HEAD { EMBEDDING } else { name };
        let found = self.tensors().into_iter().find(|(known, _)| known == name);
        let (_, tensor) = found.expect("a name that the configuration has");
        Ok(matrix(tensor.mapv(Real::to_f64)))
    }

    /// Put a model together. `weight` is asked for each tensor by its name in a Hugging Face checkpoint and its
    /// shape, one at a time, so that no more than one need be in memory twice.
    ///
    /// # Errors
    /// The configuration is inconsistent, `weight` fails, or returns another shape than it was asked for.
    pub fn build(
        config: Config,
        mut weight: impl FnMut(&str, &[usize]) -> Result<Vec<T>>,
    ) -> Result<Self> {
        config.validate()?;
        let mut tensor = |name: String, shape: &[usize]| {
            let values = weight(&name, shape)?;
            let got = values.len();
            ArrayD::from_shape_vec(shape, values).map_err(|_| {
                let hint = "its number of elements";
                let want = [shape.iter().product()];
                Error::from(check_shape(name, &[got], &want, hint).unwrap_err())
            })
        };
        let hidden = config.hidden_size;
        let embedding =
            matrix(tensor("model.embed_tokens.weight".into(), &[config.vocab_size, hidden])?);
        let mut layers = Vec::new();
        for layer in 0..config.num_hidden_layers {
            let mut projections = BTreeMap::new();
            for &projection in config.projections() {
                let name = format!("{}.weight", projection.module(layer));
                projections.insert(projection, matrix(tensor(name, &projection.shape(&config))?));
            }
            let vectors = Vectors::build(&config, |name, length| {
                tensor(format!("model.layers.{layer}.{name}"), &[length]).map(vector)
            })?;
            layers.push(Layer { vectors, projections });
        }
        let norm = vector(tensor("model.norm.weight".into(), &[hidden])?);
        let head = match config.tie_word_embeddings {
            true => None,
            false => Some(matrix(tensor("lm_head.weight".into(), &[config.vocab_size, hidden])?)),
        };
        Ok(Self { config, embedding, layers, norm, head })
    }

    /// Every tensor by its name in a Hugging Face checkpoint, in the order [`build`](Self::build) asks for them.
    pub fn tensors(&self) -> Vec<(String, ArrayViewD<'_, T>)> {
        let mut all =
            vec![("model.embed_tokens.weight".to_owned(), self.embedding.view().into_dyn())];
        for (i, layer) in self.layers.iter().enumerate() {
            for (projection, weight) in &layer.projections {
                let name = format!("{}.weight", projection.module(i));
                all.push((name, weight.view().into_dyn()));
            }
            for (name, vector) in layer.vectors.named() {
                all.push((format!("model.layers.{i}.{name}"), vector.view().into_dyn()));
            }
        }
        all.push(("model.norm.weight".to_owned(), self.norm.view().into_dyn()));
        all.extend(
            self.head.iter().map(|head| ("lm_head.weight".to_owned(), head.view().into_dyn())),
        );
        all
    }

    /// The output matrix, \[vocabulary, hidden\].
    pub fn head(&self) -> &Array2<T> {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// How many numbers the model has.
    pub fn parameters(&self) -> usize {
        self.tensors().iter().map(|(_, tensor)| tensor.len()).sum()
    }
}

fn vector<T>(tensor: ArrayD<T>) -> Array1<T> {
    tensor.into_dimensionality().expect("built with one dimension")
}

fn matrix<T>(tensor: ArrayD<T>) -> Array2<T> {
    tensor.into_dimensionality().expect("built with two dimensions")
}
