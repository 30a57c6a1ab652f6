//! The part of a `config.json` that the architectures differ in.

use std::collections::BTreeSet;

use super::fields::Fields;
use super::read::{Absent, fail};
use super::{Activation, Architecture, Config, Norms, QkNorm};
use crate::{Error, Result};

impl Config {
    /// What the architectures differ in.
    pub(super) fn read_variant(&mut self, fields: Fields<'_>, absent: Absent) -> Result<()> {
        use Architecture::{
            Gemma, Gemma2, Gemma3, Granite, Llama, Ministral, Mistral, Olmo2, Phi3, Qwen2, Qwen3,
            SmolLM3,
        };
        let architecture = self.variant.architecture;
        self.read_activation(fields)?;
        if let Llama | Qwen3 | SmolLM3 | Granite | Olmo2 | Gemma | Gemma2 | Gemma3 = architecture {
            let bias = fields.flag("attention_bias", false)?;
            (self.variant.qkv_bias, self.variant.o_bias) = (bias, bias);
        }
        if let Llama | SmolLM3 | Granite = architecture {
            self.variant.mlp_bias = fields.flag("mlp_bias", false)?;
        }
        match architecture {
            Qwen2 => self.variant.qkv_bias = true,
            Qwen3 => self.variant.qk_norm = Some(QkNorm::Head),
            SmolLM3 => self.variant.no_rope_layers = self.no_rope_layers(fields)?,
            Granite => self.read_granite(fields)?,
            Olmo2 => {
                self.variant.norms = Norms::After;
                self.variant.qk_norm = Some(QkNorm::Whole);
            }
            Gemma | Gemma2 | Gemma3 => self.read_gemma(fields)?,
            Phi3 => self.variant.fused = true,
            Llama | Mistral | Ministral => {}
        }
        let used = match architecture {
            Llama | Granite | Olmo2 | Gemma => return Ok(()),
            Mistral | Ministral | Gemma2 | Gemma3 | Phi3 => true,
            Qwen2 | Qwen3 | SmolLM3 => fields.flag("use_sliding_window", false)?,
        };
        let window = fields.size_or("sliding_window", absent.sliding_window)?.filter(|_| used);
        let sliding = self.sliding_layers(fields, window.is_some())?;
        if !sliding.is_empty() {
            self.variant.sliding_window = window;
            let layers = 0..self.num_hidden_layers;
            self.variant.full_attention_layers = layers.filter(|i| !sliding.contains(i)).collect();
        }
        Ok(())
    }

    fn read_activation(&mut self, fields: Fields<'_>) -> Result<()> {
        use Architecture::{Gemma, Gemma2, Gemma3};
        let architecture = self.variant.architecture;
        let field = architecture.activation_field();
        self.variant.activation = match fields.text(field)? {
            // Gemma's first files say gelu and mean its approximation.
            Some("gelu") if architecture == Gemma => Activation::GeluTanh,
            None if matches!(architecture, Gemma | Gemma2 | Gemma3) => Activation::GeluTanh,
            None => Activation::default(),
            Some(name) => Activation::from_name(name).map_or_else(
                || {
                    let all = "silu, swish, gelu, gelu_pytorch_tanh, gelu_new and relu";
                    fail(format!("{field} {name:?} is unknown: computed are {all}"))
                },
                Ok,
            )?,
        };
        Ok(())
    }

    /// Its four multipliers; 1 where there is none, that of attention too.
    fn read_granite(&mut self, fields: Fields<'_>) -> Result<()> {
        let multiplier = |name| Ok::<_, Error>(Some(fields.number(name)?.unwrap_or(1.0)));
        self.variant.embedding_multiplier = multiplier("embedding_multiplier")?;
        self.variant.attention_multiplier = multiplier("attention_multiplier")?;
        self.variant.residual_multiplier = multiplier("residual_multiplier")?;
        self.variant.logits_divisor = multiplier("logits_scaling")?;
        Ok(())
    }

    /// The embedding is multiplied with the root of its width. What Gemma 2 caps, Gemma 3 norms.
    fn read_gemma(&mut self, fields: Fields<'_>) -> Result<()> {
        if fields.flag("use_bidirectional_attention", false)? {
            return fail("use_bidirectional_attention is true: only tokens before are seen".into());
        }
        self.variant.gains_from_one = true;
        self.variant.embedding_multiplier = Some((self.hidden_size as f64).sqrt());
        if self.variant.architecture == Architecture::Gemma {
            return Ok(());
        }
        self.variant.norms = Norms::Both;
        let scalar = fields.size_or("query_pre_attn_scalar", Some(256))?.unwrap_or(256);
        self.variant.attention_multiplier = Some((scalar as f64).powf(-0.5));
        let [scores, logits] = ["attn_logit_softcapping", "final_logit_softcapping"];
        if self.variant.architecture == Architecture::Gemma2 {
            self.variant.attention_cap = fields.number_or(scores, 50.0)?;
            self.variant.logits_cap = fields.number_or(logits, 30.0)?;
            return Ok(());
        }
        self.variant.qk_norm = Some(QkNorm::Head);
        self.variant.logits_cap = fields.number(logits)?;
        match fields.number(scores)? {
            Some(cap) => {
                fail(format!("{scores} is {cap}: a Gemma 3 does not cap the scores of attention"))
            }
            None => Ok(()),
        }
    }

    /// The layers without RoPE: where `no_rope_layers` has a 0, or each fourth.
    fn no_rope_layers(&self, fields: Fields<'_>) -> Result<BTreeSet<usize>> {
        let layers = 0..self.num_hidden_layers;
        if let Some(marks) = fields.sizes("no_rope_layers")? {
            if marks.len() < self.num_hidden_layers {
                return fail(format!(
                    "no_rope_layers has {} entries: one for each of the {} layers is needed",
                    marks.len(),
                    self.num_hidden_layers
                ));
            }
            return Ok(layers.filter(|&layer| marks[layer] == 0).collect());
        }
        let interval = interval(fields, "no_rope_layer_interval", 4)?;
        Ok(layers.filter(|layer| (layer + 1).is_multiple_of(interval)).collect())
    }

    /// The layers with a window: what `layer_types` says, or the architecture's own rule.
    fn sliding_layers(&self, fields: Fields<'_>, window: bool) -> Result<BTreeSet<usize>> {
        let count = self.num_hidden_layers;
        let architecture = self.variant.architecture;
        // transformers' Mistral and Phi-3 have one kind of layer.
        let by_layer = !matches!(architecture, Architecture::Mistral | Architecture::Phi3);
        let types = fields.texts("layer_types")?.filter(|_| by_layer);
        let Some(types) = types else {
            let first = fields.optional_size("max_window_layers")?.unwrap_or(28);
            // Of a Gemma's layers one in so many has no window, the last of them.
            let pattern = match architecture {
                Architecture::Gemma3 => interval(fields, "sliding_window_pattern", 6)?,
                _ => 2,
            };
            let rule = |layer: usize| match architecture {
                Architecture::Qwen2 | Architecture::Qwen3 => layer >= first,
                Architecture::SmolLM3 => !self.rotates(layer),
                Architecture::Gemma2 | Architecture::Gemma3 => !(layer + 1).is_multiple_of(pattern),
                _ => true,
            };
            return Ok((0..count).filter(|&layer| window && rule(layer)).collect());
        };
        if types.len() != count {
            let entries = types.len();
            return fail(format!(
                "layer_types has {entries} entries: one for each of the {count} layers is needed"
            ));
        }
        let known = ["full_attention", "sliding_attention"];
        if let Some(other) = types.iter().find(|kind| !known.contains(kind)) {
            return fail(format!(
                "layer_types says {other:?}: only full_attention and sliding_attention are computed"
            ));
        }
        let sliding: BTreeSet<usize> =
            (0..count).filter(|&layer| types[layer] == "sliding_attention").collect();
        match sliding.first() {
            Some(layer) if !window => fail(format!(
                "layer_types says sliding_attention of layer {layer}, and there is no sliding_window in use"
            )),
            _ => Ok(sliding),
        }
    }
}

/// One layer in so many, the last of them, is not as the others.
fn interval(fields: Fields<'_>, name: &str, absent: usize) -> Result<usize> {
    match fields.optional_size(name)?.unwrap_or(absent) {
        0 => fail(format!("{name} is 0: it must be at least 1")),
        interval => Ok(interval),
    }
}
