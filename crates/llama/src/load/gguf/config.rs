//! The configuration, by llama.cpp's names.

use super::Gguf;
use super::problem::{Outcome, wrong};
use crate::{Activation, Architecture, Config, Norms, QkNorm, Variant};

/// An architecture that a file can name.
pub struct Stored {
    /// `general.architecture`; its keys begin with it.
    pub name: &'static str,
    /// Which one it is.
    architecture: Architecture,
    /// llama.cpp's RoPE turns rows 2i and 2i + 1 of a head of q and k, where Hugging Face's turns rows i and
    /// i + head_dim / 2: its converter has changed their order.
    pub interleaved: bool,
    /// One layer in so many has no RoPE, the last of them.
    no_rope: Option<usize>,
}

#[rustfmt::skip]
const ARCHITECTURES: [Stored; 10] = [
    Stored { name: "llama",   architecture: Architecture::Llama,   interleaved: true,  no_rope: None },
    Stored { name: "qwen2",   architecture: Architecture::Qwen2,   interleaved: false, no_rope: None },
    Stored { name: "qwen3",   architecture: Architecture::Qwen3,   interleaved: false, no_rope: None },
    Stored { name: "smollm3", architecture: Architecture::SmolLM3, interleaved: true,  no_rope: Some(4) },
    Stored { name: "granite", architecture: Architecture::Granite, interleaved: true,  no_rope: None },
    Stored { name: "olmo2",   architecture: Architecture::Olmo2,   interleaved: false, no_rope: None },
    Stored { name: "gemma",   architecture: Architecture::Gemma,   interleaved: false, no_rope: None },
    Stored { name: "gemma2",  architecture: Architecture::Gemma2,  interleaved: false, no_rope: None },
    Stored { name: "gemma3",  architecture: Architecture::Gemma3,  interleaved: false, no_rope: None },
    Stored { name: "phi3",    architecture: Architecture::Phi3,    interleaved: false, no_rope: None },
];

impl Gguf {
    /// Which architecture it is.
    pub fn architecture(&self) -> Outcome<&'static Stored> {
        match self.metadata.text("general.type")?.as_deref() {
            None | Some("model") => {}
            Some("adapter") => {
                return Err("general.type is \"adapter\": it changes a model and is none, so give the model that it was \
                            made for; an adapter is read from the folder that PEFT writes"
                    .into());
            }
            Some(other) => {
                return wrong(format!("general.type is {other:?}: only a \"model\" is read"));
            }
        }
        let name = self.metadata.text("general.architecture")?;
        let name = name.ok_or("general.architecture is missing")?;
        let found = ARCHITECTURES.iter().find(|architecture| architecture.name == name);
        found.ok_or_else(|| {
            let known: Vec<String> =
                ARCHITECTURES.iter().map(|known| format!("{:?}", known.name)).collect();
            format!("architecture {name:?} is unknown: only {} are read", known.join(", ")).into()
        })
    }

    /// What the file says of the model, RoPE's factors excepted.
    pub fn described(&self) -> Outcome<Config> {
        let stored = self.architecture()?;
        let prefix = stored.name;
        let size = |name: &str| {
            let key = format!("{prefix}.{name}");
            self.metadata
                .optional_size(&key)?
                .map_or_else(|| wrong(format!("{key} is missing")), Ok)
        };
        let optional = |name: &str| self.metadata.optional_size(&format!("{prefix}.{name}"));
        let float = |name: &str| self.metadata.float(&format!("{prefix}.{name}"));
        if optional("expert_count")?.is_some_and(|count| count > 0) {
            return wrong(format!(
                "{prefix}.expert_count is not 0: mixtures of experts are not read"
            ));
        }
        let hidden_size = size("embedding_length")?;
        let heads = size("attention.head_count")?;
        let head_dim = match optional("attention.key_length")? {
            Some(head_dim) => head_dim,
            None if heads > 0 && hidden_size.is_multiple_of(heads) => hidden_size / heads,
            None => {
                return wrong(format!(
                    "{prefix}.embedding_length is {hidden_size}, not a multiple of {prefix}.attention.head_count, \
                     {heads}"
                ));
            }
        };
        let turned = optional("rope.dimension_count")?;
        let phi3 = stored.architecture == Architecture::Phi3;
        let widths = [
            ("attention.value_length", optional("attention.value_length")?),
            ("rope.dimension_count", turned.filter(|_| !phi3)),
        ];
        for (name, width) in widths {
            if let Some(other) = width.filter(|&other| other != head_dim) {
                return wrong(format!(
                    "{prefix}.{name} is {other} and the width of a head {head_dim}: they must be equal"
                ));
            }
        }
        let num_hidden_layers = size("block_count")?;
        let max_position_embeddings = optional("context_length")?.unwrap_or(2048);
        let embedding = self
            .tensors
            .get("token_embd.weight")
            .ok_or("the tensor token_embd.weight is missing")?;
        let mut config = Config {
            vocab_size: *embedding.shape.first().ok_or("token_embd.weight is a single number")?,
            hidden_size,
            intermediate_size: size("feed_forward_length")?,
            num_hidden_layers,
            num_attention_heads: heads,
            num_key_value_heads: optional("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            rms_norm_eps: float("attention.layer_norm_rms_epsilon")?
                .ok_or_else(|| format!("{prefix}.attention.layer_norm_rms_epsilon is missing"))?,
            rope_theta: float("rope.freq_base")?.unwrap_or(10_000.0),
            rope_scaling: self.scaling(prefix, max_position_embeddings)?,
            max_position_embeddings,
            tie_word_embeddings: !self.tensors.contains_key("output.weight"),
            variant: self.variant(stored, num_hidden_layers)?,
        };
        match stored.architecture {
            Architecture::Granite => self.granite(prefix, &mut config)?,
            Architecture::Gemma | Architecture::Gemma2 | Architecture::Gemma3 => {
                self.gemma(prefix, &mut config)?;
            }
            Architecture::Phi3 => {
                config.variant.fused = true;
                config.variant.rotary_dim = turned.filter(|dim| *dim != head_dim);
            }
            _ => {}
        }
        Ok(config)
    }

    /// Granite's multipliers. llama.cpp takes 0 to be none.
    fn granite(&self, prefix: &str, config: &mut Config) -> Outcome<()> {
        let float = |name: &str| -> Outcome<Option<f64>> {
            Ok(self.metadata.float(&format!("{prefix}.{name}"))?.filter(|number| *number != 0.0))
        };
        let scale = config.attention_scale();
        let variant = &mut config.variant;
        variant.embedding_multiplier = Some(float("embedding_scale")?.unwrap_or(1.0));
        variant.residual_multiplier = Some(float("residual_scale")?.unwrap_or(1.0));
        variant.attention_multiplier = Some(float("attention.scale")?.unwrap_or(scale));
        variant.logits_divisor = Some(float("logit_scale")?.unwrap_or(1.0));
        Ok(())
    }

    /// What llama.cpp knows of Gemma and the file does not say.
    fn gemma(&self, prefix: &str, config: &mut Config) -> Outcome<()> {
        let float = |name: &str| self.metadata.float(&format!("{prefix}.{name}"));
        let (hidden, heads) = (config.hidden_size as f64, config.num_attention_heads as f64);
        let (head_dim, layers) = (config.head_dim as f64, config.num_hidden_layers);
        let variant = &mut config.variant;
        variant.gains_from_one = true;
        variant.activation = Activation::GeluTanh;
        variant.embedding_multiplier = Some(hidden.sqrt());
        // One layer in so many has no window, the last of them; the largest model has so many layers.
        let (pattern, largest) = match variant.architecture {
            Architecture::Gemma2 => (2, 46),
            Architecture::Gemma3 => {
                let key = format!("{prefix}.attention.sliding_window_pattern");
                let theta = float("rope.freq_base_swa")?;
                variant.sliding_rope_theta = Some(theta.unwrap_or(10_000.0));
                (self.metadata.optional_size(&key)?.unwrap_or(6), 62)
            }
            _ => return Ok(()),
        };
        // The largest, of 27 billion numbers, is the exception.
        let scalar = if layers == largest { hidden / heads } else { head_dim };
        variant.attention_multiplier = Some(scalar.powf(-0.5));
        variant.attention_cap = float("attn_logit_softcapping")?;
        variant.logits_cap = float("final_logit_softcapping")?;
        if variant.architecture == Architecture::Gemma2 {
            // llama.cpp's, for the first files, which have no such keys.
            variant.attention_cap.get_or_insert(50.0);
            variant.logits_cap.get_or_insert(30.0);
            let window = format!("{prefix}.attention.sliding_window");
            if self.metadata.optional_size(&window)?.is_none() {
                variant.sliding_window = Some(4096);
            }
        }
        let full = |layer: &usize| (layer + 1).is_multiple_of(pattern);
        variant.full_attention_layers = (0..layers.min(self.tensors.len())).filter(full).collect();
        Ok(())
    }

    /// What differs from a plain Llama. Biases and norms of queries and keys are there if their tensors are.
    fn variant(&self, stored: &Stored, layers: usize) -> Outcome<Variant> {
        let has = |name: &str| self.tensors.contains_key(&format!("blk.0.{name}"));
        let key = format!("{}.attention.sliding_window", stored.name);
        // 0 is none to llama.cpp.
        let sliding_window = self.metadata.optional_size(&key)?.filter(|window| *window != 0);
        let architecture = match (stored.architecture, sliding_window) {
            (Architecture::Llama, Some(_)) => Architecture::Mistral,
            (architecture, _) => architecture,
        };
        let is_without_rope =
            |layer: &usize| stored.no_rope.is_some_and(|of| (layer + 1).is_multiple_of(of));
        let (qk_norm, norms) = match stored.architecture {
            Architecture::Olmo2 => (QkNorm::Whole, Norms::After),
            Architecture::Gemma2 | Architecture::Gemma3 => (QkNorm::Head, Norms::Both),
            _ => (QkNorm::Head, Norms::Before),
        };
        // A file that lies about its layers has no tensors for them either.
        let layers = layers.min(self.tensors.len());
        Ok(Variant {
            architecture,
            qkv_bias: has("attn_q.bias"),
            o_bias: has("attn_output.bias"),
            mlp_bias: has("ffn_gate.bias"),
            norms,
            qk_norm: has("attn_q_norm.weight").then_some(qk_norm),
            sliding_window,
            no_rope_layers: (0..layers).filter(is_without_rope).collect(),
            ..Variant::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_every_architecture() {
        let readme = include_str!("../../../README.md");
        for Stored { name, .. } in ARCHITECTURES {
            assert!(readme.contains(&format!("`{name}`")), "{name}");
        }
    }
}
