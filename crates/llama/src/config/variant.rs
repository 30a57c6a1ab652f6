//! What the architectures that this decoder computes differ in.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What differs from a plain Llama. [`Default`] is a plain Llama: no biases, one RMSNorm before each block, every layer
/// sees all tokens before it and has RoPE on whole heads, SwiGLU, nothing multiplied or capped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Variant {
    /// The name that the configuration goes by.
    pub architecture: Architecture,
    /// What the MLP's gate goes through.
    pub activation: Activation,
    /// Are the query, key and value projections one matrix, and gate and up another?
    pub fused: bool,
    /// Do the query, key and value projections add a bias?
    pub qkv_bias: bool,
    /// Does attention's output projection add a bias?
    pub o_bias: bool,
    /// Do the MLP's three projections add a bias?
    pub mlp_bias: bool,
    /// Where the RMSNorms of attention and the MLP are.
    pub norms: Norms,
    /// Do queries and keys pass an RMSNorm before RoPE?
    pub qk_norm: Option<QkNorm>,
    /// Does an RMSNorm multiply with 1 + its weight, instead of the weight?
    pub gains_from_one: bool,
    /// How many tokens a token sees, itself included.
    pub sliding_window: Option<usize>,
    /// The layers that see all tokens although there is a window.
    pub full_attention_layers: BTreeSet<usize>,
    /// The layers without RoPE.
    pub no_rope_layers: BTreeSet<usize>,
    /// θ of RoPE in the layers with a window, where it is another than in the rest: `rope_local_base_freq`.
    /// `rope_scaling` is then not for them.
    pub sliding_rope_theta: Option<f64>,
    /// RoPE turns so many numbers of each head, the first ones; `None` for all. `partial_rotary_factor` says so;
    /// transformers 5 does not read it in these architectures.
    pub rotary_dim: Option<usize>,
    /// What the embedding is multiplied with.
    pub embedding_multiplier: Option<f64>,
    /// What q kᵀ is multiplied with, in the place of 1/√head_dim.
    pub attention_multiplier: Option<f64>,
    /// What attention and the MLP are multiplied with before they are added to the residual stream.
    pub residual_multiplier: Option<f64>,
    /// What the logits are divided by.
    pub logits_divisor: Option<f64>,
    /// c, where the scores S of attention become c tanh(S/c).
    pub attention_cap: Option<f64>,
    /// c, where the logits z become c tanh(z/c).
    pub logits_cap: Option<f64>,
}

/// Where the RMSNorms of attention and the MLP are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Norms {
    /// On what they read.
    #[default]
    Before,
    /// On what they add to the residual stream.
    After,
    /// On both.
    Both,
}

/// What an RMSNorm of queries and keys takes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QkNorm {
    /// Each head by itself, all with the same weight.
    Head,
    /// All heads of a token.
    Whole,
}

impl Variant {
    pub(super) fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// The architectures that are computed, by transformers' names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Architecture {
    #[default]
    Llama,
    Mistral,
    Ministral,
    Qwen2,
    Qwen3,
    SmolLM3,
    Granite,
    Olmo2,
    Gemma,
    Gemma2,
    Gemma3,
    Phi3,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Llama,
        Self::Mistral,
        Self::Ministral,
        Self::Qwen2,
        Self::Qwen3,
        Self::SmolLM3,
        Self::Granite,
        Self::Olmo2,
        Self::Gemma,
        Self::Gemma2,
        Self::Gemma3,
        Self::Phi3,
    ];

    /// The field that names the activation.
    pub(super) fn activation_field(self) -> &'static str {
        if let Self::Gemma2 | Self::Gemma3 = self { "hidden_activation" } else { "hidden_act" }
    }

    /// The entry of `architectures`: `LlamaForCausalLM`.
    pub fn name(self) -> String {
        format!("{self:?}ForCausalLM")
    }

    /// The `model_type`: `llama`.
    pub fn model_type(self) -> String {
        match self {
            // Without the last part it is the model that sees pictures too.
            Self::Gemma3 => "gemma3_text".into(),
            _ => format!("{self:?}").to_lowercase(),
        }
    }
}

/// What the MLP's gate goes through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// z σ(z), also called swish.
    #[default]
    Silu,
    /// z Φ(z), with Φ the normal distribution's.
    Gelu,
    /// The same with Φ(z) ≈ (1 + tanh(√(2/π) (z + 0.044715 z³)))/2.
    GeluTanh,
    /// max(z, 0).
    Relu,
}

impl Activation {
    /// The names in `hidden_act`, the one that is written first.
    const NAMES: [(&str, Self); 6] = [
        ("silu", Self::Silu),
        ("swish", Self::Silu),
        ("gelu", Self::Gelu),
        ("gelu_pytorch_tanh", Self::GeluTanh),
        ("gelu_new", Self::GeluTanh),
        ("relu", Self::Relu),
    ];

    /// The activation that `hidden_act` calls by this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .into_iter()
            .find_map(|(known, activation)| (known == name).then_some(activation))
    }

    /// Its name in `hidden_act`.
    pub fn name(self) -> &'static str {
        let mut names = Self::NAMES.into_iter();
        names.find(|(_, activation)| *activation == self).map_or("silu", |(name, _)| name)
    }
}
