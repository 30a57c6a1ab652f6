//! From a Hugging Face `config.json`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::fields::Fields;
use super::{Activation, Architecture, Config, Variant};
use crate::error::refused;
use crate::{Error, Result};

pub(super) fn fail<T>(reason: String) -> Result<T> {
    Err(Error::Config(reason))
}

impl Config {
    /// Read a Hugging Face `config.json`. What it leaves out is what transformers takes it to be, except the sizes,
    /// which must be there.
    ///
    /// # Errors
    /// It is not JSON, a number is missing or impossible, or it asks for something this decoder does not have
    /// (another architecture, another activation or another RoPE), which is named.
    pub fn from_json(text: &str) -> Result<Self> {
        let json: Map<String, Value> =
            serde_json::from_str(text).map_err(refused("not a JSON object"))?;
        let fields = Fields(&json);
        let architecture = architecture(fields)?;
        check_quantisation(fields)?;
        let absent = Absent::of(architecture);
        let hidden_size = fields.size("hidden_size")?;
        let layers = fields.size("num_hidden_layers")?;
        let heads = fields.size("num_attention_heads")?;
        let head_dim = match fields.size_or("head_dim", absent.head_dim)? {
            Some(head_dim) => head_dim,
            None if heads > 0 && hidden_size.is_multiple_of(heads) => hidden_size / heads,
            None => {
                return fail(format!(
                    "hidden_size is {hidden_size}, not a multiple of num_attention_heads, {heads}, and there is no \
                     head_dim"
                ));
            }
        };
        let key_heads = fields.size_or("num_key_value_heads", absent.num_key_value_heads)?;
        let max_position_embeddings =
            fields.optional_size("max_position_embeddings")?.unwrap_or(absent.context);
        let mut config = Self {
            vocab_size: fields.size("vocab_size")?,
            hidden_size,
            intermediate_size: fields.size("intermediate_size")?,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: key_heads.unwrap_or(heads),
            head_dim,
            rms_norm_eps: fields.number("rms_norm_eps")?.unwrap_or(1e-6),
            rope_theta: absent.rope_theta,
            rope_scaling: None,
            max_position_embeddings,
            tie_word_embeddings: fields.flag("tie_word_embeddings", absent.tied)?,
            variant: Variant { architecture, ..Variant::default() },
        };
        config.read_rope(fields)?;
        config.read_variant(fields, absent)?;
        config.validate()?;
        Ok(config)
    }

    /// What the architectures differ in.
    fn read_variant(&mut self, fields: Fields<'_>, absent: Absent) -> Result<()> {
        use Architecture::{Llama, Ministral, Mistral, Qwen2, Qwen3, SmolLM3};
        let architecture = self.variant.architecture;
        if let Some(name) = fields.text("hidden_act")? {
            let known = Activation::from_name(name);
            let all = "silu, swish, gelu, gelu_pytorch_tanh, gelu_new and relu";
            let unknown = || fail(format!("hidden_act {name:?} is unknown: computed are {all}"));
            self.variant.activation = known.map_or_else(unknown, Ok)?;
        }
        if let Llama | Qwen3 | SmolLM3 = architecture {
            let bias = fields.flag("attention_bias", false)?;
            (self.variant.qkv_bias, self.variant.o_bias) = (bias, bias);
        }
        if let Llama | SmolLM3 = architecture {
            self.variant.mlp_bias = fields.flag("mlp_bias", false)?;
        }
        self.variant.qkv_bias |= architecture == Qwen2;
        self.variant.qk_norm = architecture == Qwen3;
        if architecture == SmolLM3 {
            self.variant.no_rope_layers = self.no_rope_layers(fields)?;
        }
        let used = match architecture {
            Llama => return Ok(()),
            Mistral | Ministral => true,
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
        let interval = fields.optional_size("no_rope_layer_interval")?.unwrap_or(4);
        if interval == 0 {
            return fail("no_rope_layer_interval is 0: it must be at least 1".into());
        }
        Ok(layers.filter(|layer| (layer + 1).is_multiple_of(interval)).collect())
    }

    /// The layers with a window: what `layer_types` says, or the architecture's own rule.
    fn sliding_layers(&self, fields: Fields<'_>, window: bool) -> Result<BTreeSet<usize>> {
        let count = self.num_hidden_layers;
        let architecture = self.variant.architecture;
        let types = fields.texts("layer_types")?.filter(|_| architecture != Architecture::Mistral);
        let Some(types) = types else {
            let first = fields.optional_size("max_window_layers")?.unwrap_or(28);
            let rule = |layer: usize| match architecture {
                Architecture::Qwen2 | Architecture::Qwen3 => layer >= first,
                Architecture::SmolLM3 => !self.rotates(layer),
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

/// What transformers takes a field to be that is not there.
#[derive(Clone, Copy)]
struct Absent {
    /// `None`: as many as query heads.
    num_key_value_heads: Option<usize>,
    /// `None`: hidden_size / num_attention_heads.
    head_dim: Option<usize>,
    sliding_window: Option<usize>,
    context: usize,
    rope_theta: f64,
    tied: bool,
}

impl Absent {
    fn of(architecture: Architecture) -> Self {
        let llama = Self {
            num_key_value_heads: None,
            head_dim: None,
            sliding_window: None,
            context: 2048,
            rope_theta: 1e4,
            tied: false,
        };
        let qwen = Self {
            num_key_value_heads: Some(32),
            sliding_window: Some(4096),
            context: 32_768,
            ..llama
        };
        match architecture {
            Architecture::Llama => llama,
            Architecture::Mistral | Architecture::Ministral => {
                Self { num_key_value_heads: Some(8), context: 131_072, ..qwen }
            }
            Architecture::Qwen2 => qwen,
            Architecture::Qwen3 => Self { head_dim: Some(128), ..qwen },
            Architecture::SmolLM3 => Self {
                num_key_value_heads: Some(4),
                sliding_window: None,
                rope_theta: 2e6,
                tied: true,
                ..qwen
            },
        }
    }
}

/// The architecture, by `model_type` and the first of `architectures`, which must agree.
fn architecture(fields: Fields<'_>) -> Result<Architecture> {
    let all = || Architecture::ALL.into_iter();
    let known = || all().map(|a| format!("{:?}", a.model_type())).collect::<Vec<_>>().join(", ");
    let name = fields.texts("architectures")?.and_then(|names| names.first().copied());
    let architecture = match (fields.text("model_type")?, name) {
        (Some(kind), name) => {
            let Some(found) = all().find(|architecture| architecture.model_type() == kind) else {
                return fail(format!("model_type {kind:?} is unknown: read are {}", known()));
            };
            if let Some(name) = name.filter(|name| *name != found.name()) {
                return fail(format!(
                    "architecture {name} is unknown for model_type {kind:?}: only \"{}\" is read",
                    found.name()
                ));
            }
            found
        }
        (None, Some(name)) => match all().find(|architecture| architecture.name() == name) {
            Some(found) => found,
            None => {
                return fail(format!(
                    "architecture {name} is unknown: read are those of model_type {}",
                    known()
                ));
            }
        },
        (None, None) => return fail("neither model_type nor architectures is there".into()),
    };
    // transformers takes a Mistral whose layers differ to be a Ministral.
    match architecture {
        Architecture::Mistral if fields.get("layer_types").is_some() => Ok(Architecture::Ministral),
        architecture => Ok(architecture),
    }
}

fn check_quantisation(fields: Fields<'_>) -> Result<()> {
    let Some(quantisation) = fields.get("quantization_config") else { return Ok(()) };
    let method = quantisation.get("quant_method").unwrap_or(&Value::Null);
    fail(format!("quantization_config says {method}: give the unquantised model, or a GGUF file"))
}
