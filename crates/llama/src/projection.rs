//! The seven linear layers of a decoder layer.

use std::fmt;
use std::str::FromStr;

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

    /// Does it add a bias in this model?
    pub fn has_bias(self, config: &Config) -> bool {
        let variant = &config.variant;
        match self {
            Self::Q | Self::K | Self::V => variant.qkv_bias,
            Self::O => variant.o_bias,
            Self::Gate | Self::Up | Self::Down => variant.mlp_bias,
        }
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
