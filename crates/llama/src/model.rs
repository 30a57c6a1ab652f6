//! The weights of a model, and where each one is.

use std::fmt;
use std::str::FromStr;

use adapter::{Real, check_shape};
use ndarray::{Array1, Array2, ArrayD, ArrayViewD};

use crate::{Config, Error, Result};

/// The seven linear layers of a decoder layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Projection {
    Q,
    K,
    V,
    O,
    Gate,
    Up,
    Down,
}

impl Projection {
    /// All seven, in the order they are stored.
    pub const ALL: [Self; 7] =
        [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];

    /// The name users and PEFT call it by: `q_proj`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q => "q_proj",
            Self::K => "k_proj",
            Self::V => "v_proj",
            Self::O => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// Its module in a checkpoint: `model.layers.3.self_attn.q_proj`.
    pub fn module(self, layer: usize) -> String {
        let block = match self {
            Self::Q | Self::K | Self::V | Self::O => "self_attn",
            Self::Gate | Self::Up | Self::Down => "mlp",
        };
        format!("model.layers.{layer}.{block}.{}", self.name())
    }

    /// \[out, in\] of its weight.
    pub fn shape(self, config: &Config) -> [usize; 2] {
        let queries = config.num_attention_heads * config.head_dim;
        let keys = config.num_key_value_heads * config.head_dim;
        match self {
            Self::Q => [queries, config.hidden_size],
            Self::K | Self::V => [keys, config.hidden_size],
            Self::O => [config.hidden_size, queries],
            Self::Gate | Self::Up => [config.intermediate_size, config.hidden_size],
            Self::Down => [config.hidden_size, config.intermediate_size],
        }
    }
}

impl fmt::Display for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Projection {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|p| p.name() == name)
            .ok_or_else(|| Error::Target(name.to_owned(), Self::ALL.map(Self::name).join(", ")))
    }
}

/// One decoder layer.
#[derive(Clone, Debug)]
pub struct Layer<T> {
    /// Gain of the RMSNorm before attention, \[hidden\].
    pub attention_norm: Array1<T>,
    /// Gain of the RMSNorm before the MLP, \[hidden\].
    pub mlp_norm: Array1<T>,
    /// The seven weights, each \[out, in\], in the order of [`Projection::ALL`].
    pub projections: [Array2<T>; 7],
}

impl<T> Layer<T> {
    /// The weight of one projection, \[out, in\].
    pub fn weight(&self, projection: Projection) -> &Array2<T> {
        &self.projections[projection as usize]
    }

    /// The weight of one projection, to be changed.
    pub fn weight_mut(&mut self, projection: Projection) -> &mut Array2<T> {
        &mut self.projections[projection as usize]
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

impl<T: Real> Llama<T> {
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
            let mut projections = Vec::with_capacity(7);
            for projection in Projection::ALL {
                let name = format!("{}.weight", projection.module(layer));
                projections.push(matrix(tensor(name, &projection.shape(&config))?));
            }
            let norm = |which: &str| format!("model.layers.{layer}.{which}_layernorm.weight");
            layers.push(Layer {
                attention_norm: vector(tensor(norm("input"), &[hidden])?),
                mlp_norm: vector(tensor(norm("post_attention"), &[hidden])?),
                projections: projections.try_into().expect("seven of them"),
            });
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
            for projection in Projection::ALL {
                let name = format!("{}.weight", projection.module(i));
                all.push((name, layer.weight(projection).view().into_dyn()));
            }
            let norm = |which: &str| format!("model.layers.{i}.{which}_layernorm.weight");
            all.push((norm("input"), layer.attention_norm.view().into_dyn()));
            all.push((norm("post_attention"), layer.mlp_norm.view().into_dyn()));
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
