//! From a Hugging Face `config.json`.

use serde_json::{Map, Value};

use super::fields::Fields;
use super::{Architecture, Config, Variant};
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
            rms_norm_eps: fields.number("rms_norm_eps")?.unwrap_or(absent.rms_norm_eps),
            rope_theta: absent.rope_theta,
            rope_scaling: None,
            max_position_embeddings,
            tie_word_embeddings: fields.flag("tie_word_embeddings", absent.tied)?,
            variant: Variant { architecture, ..Variant::default() },
        };
        // What follows makes lists of layers.
        config.validate_sizes()?;
        config.read_rope(fields)?;
        config.read_variant(fields, absent)?;
        config.validate()?;
        Ok(config)
    }
}

/// What transformers takes a field to be that is not there.
#[derive(Clone, Copy)]
pub(super) struct Absent {
    /// `None`: as many as query heads.
    num_key_value_heads: Option<usize>,
    /// `None`: hidden_size / num_attention_heads.
    head_dim: Option<usize>,
    pub(super) sliding_window: Option<usize>,
    context: usize,
    rms_norm_eps: f64,
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
            rms_norm_eps: 1e-6,
            rope_theta: 1e4,
            tied: false,
        };
        let qwen = Self {
            num_key_value_heads: Some(32),
            sliding_window: Some(4096),
            context: 32_768,
            ..llama
        };
        let gemma = Self { head_dim: Some(256), context: 8192, tied: true, ..llama };
        match architecture {
            Architecture::Llama | Architecture::Granite => llama,
            Architecture::Olmo2 => Self { rms_norm_eps: 1e-5, ..llama },
            Architecture::Phi3 => Self { context: 4096, rms_norm_eps: 1e-5, ..llama },
            Architecture::Gemma => Self { num_key_value_heads: Some(16), ..gemma },
            Architecture::Gemma2 => {
                Self { num_key_value_heads: Some(4), sliding_window: Some(4096), ..gemma }
            }
            Architecture::Gemma3 => Self {
                num_key_value_heads: Some(4),
                sliding_window: Some(4096),
                context: 131_072,
                rope_theta: 1e6,
                ..gemma
            },
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
            let of_type = |kind: &str| all().find(|found| found.model_type() == kind);
            let Some(found) = of_type(kind) else {
                let text = fields.object("text_config")?.map(Fields);
                let text = text.map(|text| text.text("model_type")).transpose()?.flatten();
                if let Some(text) = text.filter(|text| of_type(text).is_some()) {
                    return fail(format!(
                        "model_type {kind:?} is more than a model of text: give its text part alone, as a folder of \
                         model_type {text:?} or as a GGUF file"
                    ));
                }
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
