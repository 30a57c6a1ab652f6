//! The shape of a model: what a `config.json` says, by Hugging Face's names.

mod fields;
mod read;
mod read_rope;
mod read_variant;
mod rope;
#[cfg(test)]
mod tests;
mod validate;
mod variant;
mod write;

use serde::{Deserialize, Serialize};

pub use rope::{Llama3Scaling, LongRopeScaling, RopeScaling, YarnScaling};
pub use variant::{Activation, Architecture, Norms, QkNorm, Variant};

/// The shape of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the MLP.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; each serves `num_attention_heads / num_key_value_heads` query heads.
    pub num_key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// ε of RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of RoPE's frequencies, θ.
    pub rope_theta: f64,
    /// A change to the frequencies, so that longer texts fit.
    pub rope_scaling: Option<RopeScaling>,
    /// The longest sequence the model was made for.
    pub max_position_embeddings: usize,
    /// Is the output matrix the embedding?
    pub tie_word_embeddings: bool,
    /// What differs from a plain Llama.
    #[serde(default, skip_serializing_if = "Variant::is_plain")]
    pub variant: Variant,
}

impl Config {
    /// How many tokens a token of this layer sees, itself included; `None` for all before it.
    pub fn window(&self, layer: usize) -> Option<usize> {
        let all = self.variant.full_attention_layers.contains(&layer);
        self.variant.sliding_window.filter(|_| !all)
    }

    /// Does this layer tell places apart by RoPE?
    pub fn rotates(&self, layer: usize) -> bool {
        !self.variant.no_rope_layers.contains(&layer)
    }

    /// What attention multiplies q kᵀ with.
    pub fn attention_scale(&self) -> f64 {
        self.variant.attention_multiplier.unwrap_or(1.0 / (self.head_dim as f64).sqrt())
    }

    /// How many numbers of a head RoPE turns: the first ones.
    pub fn rotary_dim(&self) -> usize {
        self.variant.rotary_dim.unwrap_or(self.head_dim)
    }
}
