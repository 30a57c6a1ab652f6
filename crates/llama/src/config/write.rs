//! To a Hugging Face `config.json`.

use serde_json::{Map, Value, json};

use super::{Architecture, Config, LongRopeScaling, RopeScaling};

impl Config {
    /// The `config.json` that transformers reads, without its `dtype`.
    pub fn to_json(&self) -> Map<String, Value> {
        use Architecture::{
            Gemma, Gemma2, Gemma3, Granite, Llama, Ministral, Mistral, Olmo2, Phi3, Qwen2, Qwen3,
            SmolLM3,
        };
        let variant = &self.variant;
        let architecture = variant.architecture;
        let json = json!({
            "architectures": [architecture.name()],
            "model_type": architecture.model_type(),
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            architecture.activation_field(): variant.activation.name(),
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "rope_scaling": self.rope_scaling,
            "max_position_embeddings": self.max_position_embeddings,
            "tie_word_embeddings": self.tie_word_embeddings,
        });
        let Value::Object(mut json) = json else { unreachable!("an object was written") };
        let mut put = |name: &str, value: Value| drop(json.insert(name.to_owned(), value));
        if let Llama | Qwen3 | SmolLM3 | Granite | Olmo2 | Gemma | Gemma2 | Gemma3 = architecture {
            put("attention_bias", variant.qkv_bias.into());
        }
        if let Llama | SmolLM3 | Granite = architecture {
            put("mlp_bias", variant.mlp_bias.into());
        }
        if let Mistral | Ministral | Qwen2 | Qwen3 | SmolLM3 | Gemma2 | Gemma3 | Phi3 = architecture
        {
            put("sliding_window", json!(variant.sliding_window));
        }
        if architecture == Granite {
            put("embedding_multiplier", json!(variant.embedding_multiplier));
            put("attention_multiplier", json!(variant.attention_multiplier));
            put("residual_multiplier", json!(variant.residual_multiplier));
            put("logits_scaling", json!(variant.logits_divisor));
        }
        if let Gemma2 | Gemma3 = architecture {
            let scalar = self.attention_scale().powi(-2).round();
            put("query_pre_attn_scalar", json!(scalar as u64));
            put("attn_logit_softcapping", json!(variant.attention_cap));
            put("final_logit_softcapping", json!(variant.logits_cap));
        }
        if architecture == Gemma3 {
            put("rope_local_base_freq", json!(variant.sliding_rope_theta));
        }
        let layers = 0..self.num_hidden_layers;
        if let Ministral | Qwen2 | Qwen3 | SmolLM3 | Gemma2 | Gemma3 = architecture {
            let kind = |layer| match self.window(layer) {
                Some(_) => "sliding_attention",
                None => "full_attention",
            };
            put("layer_types", layers.clone().map(kind).collect());
        }
        if let Qwen2 | Qwen3 | SmolLM3 = architecture {
            put("use_sliding_window", variant.sliding_window.is_some().into());
        }
        if architecture == SmolLM3 {
            let marks = layers.clone().map(|layer| u8::from(self.rotates(layer)));
            put("no_rope_layers", marks.collect());
        }
        if let Some(RopeScaling::LongRope(scaling)) = &self.rope_scaling {
            put("rope_scaling", self.long_rope(scaling));
            // transformers takes a Phi-3's from here alone.
            put(
                "original_max_position_embeddings",
                scaling.original_max_position_embeddings.into(),
            );
        }
        if let Some(dim) = variant.rotary_dim {
            put("partial_rotary_factor", (dim as f64 / self.head_dim as f64).into());
        }
        json
    }

    /// `rope_scaling` with the three fields that transformers 4 insists on for a Phi-3; a fourth only where the file had
    /// another factor than the one that follows from them.
    fn long_rope(&self, scaling: &LongRopeScaling) -> Value {
        let original = scaling.original_max_position_embeddings;
        let factor = self.max_position_embeddings as f64 / original as f64;
        let mut json = json!({
            "type": "longrope",
            "short_factor": scaling.short_factor,
            "long_factor": scaling.long_factor,
        });
        // A GGUF file has it in f32.
        let advised = LongRopeScaling::magnitude(factor, original);
        if scaling.attention_factor as f32 != advised as f32 {
            json["attention_factor"] = scaling.attention_factor.into();
        }
        json
    }
}
