//! Do the numbers describe a model?

use super::{
    Architecture, Config, Llama3Scaling, LongRopeScaling, Norms, QkNorm, RopeScaling, YarnScaling,
};
use crate::{Error, Result};

/// The largest width, and the longest vocabulary, that is believed.
const MAX_SIZE: usize = 1 << 28;
/// The most layers that are believed. Models have a few hundred at most.
const MAX_LAYERS: usize = 1 << 16;

fn fail(reason: String) -> Result<()> {
    Err(Error::Config(reason))
}

impl Config {
    /// Check that the numbers describe a model, and that a configuration of its architecture can say so.
    ///
    /// # Errors
    /// Names the field, its value and what it must be.
    pub fn validate(&self) -> Result<()> {
        self.validate_sizes()?;
        self.validate_rope()?;
        self.validate_layers()?;
        self.validate_variant()
    }

    pub(super) fn validate_sizes(&self) -> Result<()> {
        for (name, value) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
        ] {
            // No model comes near the upper limit; below it no product of two sizes overflows.
            if value == 0 || value > MAX_SIZE {
                return fail(format!("{name} is {value}: it must be between 1 and 2^28"));
            }
        }
        if self.num_hidden_layers > MAX_LAYERS {
            let layers = self.num_hidden_layers;
            return fail(format!("num_hidden_layers is {layers}: it must be at most {MAX_LAYERS}"));
        }
        if self.num_attention_heads * self.head_dim > MAX_SIZE {
            return fail(format!(
                "num_attention_heads is {} and head_dim {}: their product must be at most 2^28",
                self.num_attention_heads, self.head_dim
            ));
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return fail(format!(
                "num_attention_heads is {}, not a multiple of num_key_value_heads, {}",
                self.num_attention_heads, self.num_key_value_heads
            ));
        }
        positive("rms_norm_eps", self.rms_norm_eps)
    }

    fn validate_rope(&self) -> Result<()> {
        let dim = self.rotary_dim();
        if !dim.is_multiple_of(2) {
            let which = if dim == self.head_dim { "head_dim" } else { "the part of it that turns" };
            return fail(format!("{which} is {dim}: RoPE rotates pairs, so it must be even"));
        }
        if dim == 0 || dim > self.head_dim {
            return fail(format!(
                "RoPE turns {dim} numbers of a head of width {}: partial_rotary_factor must be above 0 and at most 1",
                self.head_dim
            ));
        }
        positive("rope_theta", self.rope_theta)?;
        if let Some(theta) = self.variant.sliding_rope_theta {
            positive("rope_local_base_freq", theta)?;
        }
        match &self.rope_scaling {
            None => Ok(()),
            Some(RopeScaling::Linear { factor }) => at_least_one(*factor),
            Some(RopeScaling::LongRope(scaling)) => scaling.validate(dim / 2),
            Some(RopeScaling::Llama3(scaling)) => scaling.validate(),
            Some(RopeScaling::Yarn(scaling)) => {
                if self.rope_theta == 1.0 {
                    return fail("rope_theta is 1: YaRN divides by its logarithm".into());
                }
                scaling.validate()
            }
        }
    }

    fn validate_layers(&self) -> Result<()> {
        let variant = &self.variant;
        if variant.sliding_window == Some(0) {
            return fail("sliding_window is 0: a token sees at least itself".into());
        }
        for (name, layers) in [
            ("full_attention_layers", &variant.full_attention_layers),
            ("no_rope_layers", &variant.no_rope_layers),
        ] {
            if let Some(layer) = layers.last().filter(|layer| **layer >= self.num_hidden_layers) {
                return fail(format!(
                    "{name} has layer {layer}: the last is {}",
                    self.num_hidden_layers - 1
                ));
            }
        }
        Ok(())
    }

    /// What an architecture's configuration has no words for could not be saved.
    fn validate_variant(&self) -> Result<()> {
        use Architecture::{
            Gemma, Gemma2, Gemma3, Granite, Llama, Ministral, Mistral, Olmo2, Phi3, Qwen2, Qwen3,
            SmolLM3,
        };
        let v = &self.variant;
        let a = v.architecture;
        let attention_biases = match a {
            Mistral | Ministral | Phi3 => !v.qkv_bias && !v.o_bias,
            Qwen2 => v.qkv_bias && !v.o_bias,
            Llama | Qwen3 | SmolLM3 | Granite | Olmo2 | Gemma | Gemma2 | Gemma3 => {
                v.qkv_bias == v.o_bias
            }
        };
        let windows = match a {
            Llama | Granite | Olmo2 | Gemma => v.sliding_window.is_none(),
            Mistral | Phi3 => v.full_attention_layers.is_empty(),
            Ministral | Qwen2 | Qwen3 | SmolLM3 | Gemma2 | Gemma3 => true,
        };
        let qk_norm = match a {
            Qwen3 | Gemma3 => Some(QkNorm::Head),
            Olmo2 => Some(QkNorm::Whole),
            _ => None,
        };
        let norms = match a {
            Olmo2 => Norms::After,
            Gemma2 | Gemma3 => Norms::Both,
            _ => Norms::Before,
        };
        let gemma = matches!(a, Gemma | Gemma2 | Gemma3);
        let multipliers = [
            (v.embedding_multiplier, a == Granite || gemma),
            (v.attention_multiplier, matches!(a, Granite | Gemma2 | Gemma3)),
            (v.residual_multiplier, a == Granite),
            (v.logits_divisor, a == Granite),
        ];
        let long_rope = matches!(self.rope_scaling, Some(RopeScaling::LongRope(_)));
        for (fits, what) in [
            (v.fused == (a == Phi3), "projections"),
            (long_rope || self.rope_scaling.is_none() || a != Phi3, "scalings of RoPE"),
            (!long_rope || a == Phi3, "scalings of RoPE"),
            (attention_biases, "attention biases"),
            (!v.mlp_bias || matches!(a, Llama | SmolLM3 | Granite), "MLP biases"),
            (v.qk_norm == qk_norm, "norms of queries and keys"),
            (v.norms == norms, "places of norms"),
            (v.gains_from_one == gemma, "gains of norms"),
            (windows, "sliding windows"),
            (v.no_rope_layers.is_empty() || a == SmolLM3, "layers without RoPE"),
            (multipliers.iter().all(|(number, has)| number.is_some() == *has), "multipliers"),
            (v.rotary_dim.is_none() || a != Gemma3, "parts of heads that RoPE turns"),
            (v.sliding_rope_theta.is_some() == (a == Gemma3), "bases of RoPE"),
            (v.attention_cap.is_none() || a == Gemma2, "caps"),
            (v.logits_cap.is_none() || matches!(a, Gemma2 | Gemma3), "caps"),
        ] {
            if !fits {
                return fail(format!("these {what} are not those of a {a:?}"));
            }
        }
        for (number, _) in multipliers.iter().filter(|(number, _)| number.is_some()) {
            positive("a multiplier", number.unwrap_or_default())?;
        }
        for cap in [v.attention_cap, v.logits_cap].into_iter().flatten() {
            positive("a softcapping", cap)?;
        }
        Ok(())
    }
}

impl Llama3Scaling {
    fn validate(self) -> Result<()> {
        let Self { factor, low_freq_factor: low, high_freq_factor: high, .. } = self;
        at_least_one(factor)?;
        if !(low > 0.0 && high > low && high.is_finite()) {
            return fail(format!(
                "low_freq_factor of rope_scaling is {low} and high_freq_factor {high}: 0 < low < high is needed"
            ));
        }
        original(self.original_max_position_embeddings)
    }
}

impl LongRopeScaling {
    fn validate(&self, pairs: usize) -> Result<()> {
        for (name, factors) in
            [("short_factor", &self.short_factor), ("long_factor", &self.long_factor)]
        {
            if factors.len() != pairs {
                return fail(format!(
                    "{name} of rope_scaling has {} numbers: one for each of the {pairs} frequencies is needed",
                    factors.len()
                ));
            }
            for factor in factors {
                positive(&format!("{name} of rope_scaling"), *factor)?;
            }
        }
        positive("attention_factor of rope_scaling", self.attention_factor)?;
        original(self.original_max_position_embeddings)
    }
}

impl YarnScaling {
    fn validate(self) -> Result<()> {
        let Self { factor, beta_fast: fast, beta_slow: slow, attention_factor, .. } = self;
        at_least_one(factor)?;
        if !(slow > 0.0 && fast > slow && fast.is_finite()) {
            return fail(format!(
                "beta_slow of rope_scaling is {slow} and beta_fast {fast}: 0 < slow < fast is needed"
            ));
        }
        positive("attention_factor of rope_scaling", attention_factor)?;
        original(self.original_max_position_embeddings)
    }
}

fn positive(name: &str, value: f64) -> Result<()> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    fail(format!("{name} is {value}: it must be positive and finite"))
}

fn at_least_one(factor: f64) -> Result<()> {
    if factor >= 1.0 && factor.is_finite() {
        return Ok(());
    }
    fail(format!("factor of rope_scaling is {factor}: it must be at least 1"))
}

fn original(context: usize) -> Result<()> {
    match context {
        0 => fail("original_max_position_embeddings of rope_scaling is 0".into()),
        _ => Ok(()),
    }
}
