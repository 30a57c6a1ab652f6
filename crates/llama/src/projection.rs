//! The linear layers of a decoder layer: seven, or four where q, k and v are one and gate and up another.

use std::fmt;
use std::str::FromStr;

use crate::{Config, Error, Result, Site};

/// A linear layer of a decoder layer. A model has [`Config::projections`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Projection {
    /// Q, K and V, rows below rows.
    Qkv,
    Q,
    K,
    V,
    O,
    /// Gate and Up, rows below rows.
    GateUp,
    Gate,
    Up,
    Down,
}

impl Projection {
    /// The seven of a Llama, in the order they are stored. They name all that other models have, too: see
    /// [`Config::holding`].
    pub const ALL: [Self; 7] =
        [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];
    /// The four of a model that has q, k and v as one matrix, and gate and up as another.
    const FUSED: [Self; 4] = [Self::Qkv, Self::O, Self::GateUp, Self::Down];
    /// Every one that some model has.
    pub(crate) const EVERY: [Self; 9] = [
        Self::Q,
        Self::K,
        Self::V,
        Self::O,
        Self::Gate,
        Self::Up,
        Self::Down,
        Self::Qkv,
        Self::GateUp,
    ];

    /// The name users and PEFT call it by: `q_proj`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qkv => "qkv_proj",
            Self::Q => "q_proj",
            Self::K => "k_proj",
            Self::V => "v_proj",
            Self::O => "o_proj",
            Self::GateUp => "gate_up_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// Its module in a checkpoint: `model.layers.3.self_attn.q_proj`.
    pub fn module(self, layer: usize) -> String {
        let block = match self {
            Self::Qkv | Self::Q | Self::K | Self::V | Self::O => "self_attn",
            Self::GateUp | Self::Gate | Self::Up | Self::Down => "mlp",
        };
        format!("model.layers.{layer}.{block}.{}", self.name())
    }

    /// Does it add a bias in this model?
    pub fn has_bias(self, config: &Config) -> bool {
        let variant = &config.variant;
        match self {
            Self::Qkv | Self::Q | Self::K | Self::V => variant.qkv_bias,
            Self::O => variant.o_bias,
            Self::GateUp | Self::Gate | Self::Up | Self::Down => variant.mlp_bias,
        }
    }

    /// \[out, in\] of its weight.
    pub fn shape(self, config: &Config) -> [usize; 2] {
        let queries = config.num_attention_heads * config.head_dim;
        let keys = config.num_key_value_heads * config.head_dim;
        match self {
            Self::Qkv => [queries + 2 * keys, config.hidden_size],
            Self::Q => [queries, config.hidden_size],
            Self::K | Self::V => [keys, config.hidden_size],
            Self::O => [config.hidden_size, queries],
            Self::GateUp => [2 * config.intermediate_size, config.hidden_size],
            Self::Gate | Self::Up => [config.intermediate_size, config.hidden_size],
            Self::Down => [config.hidden_size, config.intermediate_size],
        }
    }
}

impl Config {
    /// The projections of each layer, in the order they are stored.
    pub fn projections(&self) -> &'static [Projection] {
        match self.variant.fused {
            true => &Projection::FUSED,
            false => &Projection::ALL,
        }
    }

    /// The projections of this model that compute what `targets` name, each once. Where q, k and v are one matrix, `q_proj`
    /// stands for all of it.
    ///
    /// # Errors
    /// The model computes one of them by several.
    pub fn holding(&self, targets: &[Projection]) -> Result<Vec<Projection>> {
        let mut held = Vec::with_capacity(targets.len());
        for &target in targets {
            let holder = self.holder(target);
            if !self.projections().contains(&holder) {
                return Err(Error::Target(target.to_string(), self.projection_names()));
            }
            if !held.contains(&holder) {
                held.push(holder);
            }
        }
        Ok(held)
    }

    /// The projections that `targets` do not name and that are adapted with them, since they are part of the same matrix.
    pub fn beside(&self, targets: &[Projection]) -> Vec<Projection> {
        let held = |part| targets.iter().any(|&target| self.holder(target) == self.holder(part));
        let named = |part| targets.contains(&part) || targets.contains(&self.holder(part));
        Projection::ALL.into_iter().filter(|&part| held(part) && !named(part)).collect()
    }

    /// The projection that computes this one: where q, k and v are one matrix, all of it.
    fn holder(&self, projection: Projection) -> Projection {
        match projection {
            Projection::Q | Projection::K | Projection::V if self.variant.fused => Projection::Qkv,
            Projection::Gate | Projection::Up if self.variant.fused => Projection::GateUp,
            other => other,
        }
    }

    /// For errors.
    pub(crate) fn projection_names(&self) -> String {
        format!("this model has {}", names(self.projections()))
    }

    /// Layer and projection of each, first layer first.
    pub fn sites(&self) -> impl Iterator<Item = Site> {
        let projections = self.projections();
        let of = |layer| projections.iter().map(move |projection| (layer, *projection));
        (0..self.num_hidden_layers).flat_map(of)
    }
}

/// Separated by commas.
fn names(projections: &[Projection]) -> String {
    projections.iter().map(|projection| projection.name()).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Projection {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        Self::EVERY.into_iter().find(|p| p.name() == name).ok_or_else(|| {
            Error::Target(name.to_owned(), format!("there are {}", names(&Self::EVERY)))
        })
    }
}
