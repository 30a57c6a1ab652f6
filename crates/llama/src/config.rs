//! The shape of a Llama-architecture model.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::refused;
use crate::{Error, Result};

/// What a `config.json` says, by Hugging Face's names.
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
    /// Llama 3.1's change to the frequencies.
    pub rope_scaling: Option<Llama3Scaling>,
    /// The longest sequence the model was made for.
    pub max_position_embeddings: usize,
    /// Is the output matrix the embedding?
    pub tie_word_embeddings: bool,
}

/// `rope_scaling` of type `llama3`: low frequencies are slowed down so that longer texts fit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Llama3Scaling {
    /// How much the lowest frequencies are divided by.
    pub factor: f64,
    /// Wavelengths above original_max_position_embeddings / this are divided by `factor`.
    pub low_freq_factor: f64,
    /// Wavelengths below original_max_position_embeddings / this stay.
    pub high_freq_factor: f64,
    /// The context the model was first trained on.
    pub original_max_position_embeddings: usize,
}

const ARCHITECTURE: &str = "LlamaForCausalLM";
const MODEL_TYPE: &str = "llama";
/// The largest width, and the longest vocabulary, that is believed.
const MAX_SIZE: usize = 1 << 28;

impl Config {
    /// Read a Hugging Face `config.json`. What it leaves out is what transformers takes it to be, except the sizes,
    /// which must be there.
    ///
    /// # Errors
    /// It is not JSON, a number is missing or impossible, or it asks for something this decoder does not have
    /// (another architecture, biases, another activation or another RoPE), which is named.
    pub fn from_json(text: &str) -> Result<Self> {
        let fail = |reason: String| Err(Error::Config(reason));
        let json: Map<String, Value> =
            serde_json::from_str(text).map_err(refused("not a JSON object"))?;
        let fields = Fields(&json);
        check_architecture(fields)?;
        let (rope_theta, rope_scaling) = rope(fields)?;
        let hidden_size = fields.size("hidden_size")?;
        let heads = fields.size("num_attention_heads")?;
        let head_dim = match fields.optional_size("head_dim")? {
            Some(head_dim) => head_dim,
            None if heads > 0 && hidden_size.is_multiple_of(heads) => hidden_size / heads,
            None => {
                return fail(format!(
                    "hidden_size is {hidden_size}, not a multiple of num_attention_heads, {heads}, and there is no head_dim"
                ));
            }
        };
        let config = Self {
            vocab_size: fields.size("vocab_size")?,
            hidden_size,
            intermediate_size: fields.size("intermediate_size")?,
            num_hidden_layers: fields.size("num_hidden_layers")?,
            num_attention_heads: heads,
            num_key_value_heads: fields.optional_size("num_key_value_heads")?.unwrap_or(heads),
            head_dim,
            rms_norm_eps: fields.number("rms_norm_eps")?.unwrap_or(1e-6),
            rope_theta,
            rope_scaling,
            max_position_embeddings: fields
                .optional_size("max_position_embeddings")?
                .unwrap_or(2048),
            tie_word_embeddings: fields.flag("tie_word_embeddings")?,
        };
        config.validate()?;
        Ok(config)
    }

    /// The `config.json` that transformers reads, without its `dtype`.
    pub fn to_json(&self) -> Map<String, Value> {
        let rope_scaling = self.rope_scaling.map(|scaling| {
            json!({
                "rope_type": "llama3",
                "factor": scaling.factor,
                "low_freq_factor": scaling.low_freq_factor,
                "high_freq_factor": scaling.high_freq_factor,
                "original_max_position_embeddings": scaling.original_max_position_embeddings,
            })
        });
        let json = json!({
            "architectures": [ARCHITECTURE],
            "model_type": MODEL_TYPE,
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "rope_scaling": rope_scaling,
            "max_position_embeddings": self.max_position_embeddings,
            "tie_word_embeddings": self.tie_word_embeddings,
            "attention_bias": false,
            "mlp_bias": false,
        });
        match json {
            Value::Object(map) => map,
            _ => unreachable!("an object was written"),
        }
    }

    /// Check that the numbers describe a model.
    ///
    /// # Errors
    /// Names the field, its value and what it must be.
    pub fn validate(&self) -> Result<()> {
        let fail = |reason: String| Err(Error::Config(reason));
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
        if !self.head_dim.is_multiple_of(2) {
            return fail(format!(
                "head_dim is {}: RoPE rotates pairs, so it must be even",
                self.head_dim
            ));
        }
        for (name, value) in [("rms_norm_eps", self.rms_norm_eps), ("rope_theta", self.rope_theta)]
        {
            if !(value > 0.0 && value.is_finite()) {
                return fail(format!("{name} is {value}: it must be positive and finite"));
            }
        }
        let Some(scaling) = self.rope_scaling else {
            return Ok(());
        };
        let Llama3Scaling { factor, low_freq_factor: low, high_freq_factor: high, .. } = scaling;
        if !(factor >= 1.0 && factor.is_finite()) {
            return fail(format!("factor of rope_scaling is {factor}: it must be at least 1"));
        }
        if !(low > 0.0 && high > low && high.is_finite()) {
            return fail(format!(
                "low_freq_factor of rope_scaling is {low} and high_freq_factor {high}: 0 < low < high is needed"
            ));
        }
        if scaling.original_max_position_embeddings == 0 {
            return fail("original_max_position_embeddings of rope_scaling is 0".into());
        }
        Ok(())
    }

    /// RoPE's frequencies in radians a token, \[head_dim / 2\]: θ^(−2i/head_dim), slowed down as
    /// [`Llama3Scaling`] says.
    pub fn frequencies(&self) -> Vec<f64> {
        let plain = (0..self.head_dim / 2)
            .map(|i| self.rope_theta.powf(-2.0 * i as f64 / self.head_dim as f64));
        let Some(scaling) = self.rope_scaling else {
            return plain.collect();
        };
        let original = scaling.original_max_position_embeddings as f64;
        plain
            .map(|frequency| {
                let turns = original * frequency / std::f64::consts::TAU;
                // 0 where the wavelength is long (divide by the factor), 1 where it is short (leave alone).
                let keep = ((turns - scaling.low_freq_factor)
                    / (scaling.high_freq_factor - scaling.low_freq_factor))
                    .clamp(0.0, 1.0);
                frequency * (keep + (1.0 - keep) / scaling.factor)
            })
            .collect()
    }
}

/// The fields of a `config.json`; `null` is the same as not there.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn optional_size(self, name: &str) -> Result<Option<usize>> {
        let size = |value: &Value| value.as_u64().and_then(|size| usize::try_from(size).ok());
        self.read(name, "a whole number", size)
    }

    fn size(self, name: &str) -> Result<usize> {
        self.optional_size(name)?.ok_or_else(|| Error::Config(format!("{name} is missing")))
    }

    fn number(self, name: &str) -> Result<Option<f64>> {
        self.read(name, "a number", Value::as_f64)
    }

    fn flag(self, name: &str) -> Result<bool> {
        Ok(self.read(name, "true or false", Value::as_bool)?.unwrap_or(false))
    }

    fn text(self, name: &str) -> Result<Option<&'a str>> {
        self.read(name, "a text", Value::as_str)
    }

    fn read<V>(
        self,
        name: &str,
        kind: &str,
        convert: impl FnOnce(&'a Value) -> Option<V>,
    ) -> Result<Option<V>> {
        let wrong = |value| Error::Config(format!("{name} is {value}: it must be {kind}"));
        let read = |value| convert(value).ok_or_else(|| wrong(value));
        self.get(name).map(read).transpose()
    }
}

/// Is this a Llama, and nothing that looks like one?
fn check_architecture(fields: Fields<'_>) -> Result<()> {
    let fail = |reason: String| Err(Error::Config(reason));
    let architectures = fields.read("architectures", "a list", Value::as_array)?;
    let architecture = architectures.and_then(|list| list.first());
    match (fields.text("model_type")?, architecture) {
        (Some(MODEL_TYPE), None) => {}
        (Some(MODEL_TYPE) | None, Some(name)) if name == ARCHITECTURE => {}
        (None, None) => return fail("neither model_type nor architectures is there".into()),
        (Some(MODEL_TYPE) | None, Some(name)) => {
            return fail(format!(
                "architecture {name} is unknown: only \"{ARCHITECTURE}\" is read"
            ));
        }
        (Some(name), _) => {
            return fail(format!("model_type {name:?} is unknown: only \"{MODEL_TYPE}\" is read"));
        }
    }
    for name in ["attention_bias", "mlp_bias"] {
        if fields.flag(name)? {
            return fail(format!("{name} is true: this decoder's linear layers have no bias"));
        }
    }
    match fields.text("hidden_act")? {
        None | Some("silu") => {}
        Some(name) => {
            return fail(format!("hidden_act {name:?} is unknown: only \"silu\" is computed"));
        }
    }
    if let Some(quantisation) = fields.get("quantization_config") {
        let method = quantisation.get("quant_method").unwrap_or(&Value::Null);
        return fail(format!(
            "quantization_config says {method}: give the unquantised model, or a GGUF file"
        ));
    }
    Ok(())
}

/// θ and the scaling: at the top level, in `rope_scaling` (which goes before), or in the newer `rope_parameters`.
fn rope(fields: Fields<'_>) -> Result<(f64, Option<Llama3Scaling>)> {
    let fail = |reason: String| Err(Error::Config(reason));
    let none = Map::new();
    let mut inner = (Fields(&none), "rope_scaling");
    for name in ["rope_parameters", "rope_scaling"] {
        let map = fields.read(name, "an object", Value::as_object)?;
        if let Some(map) = map.filter(|map| !map.is_empty()) {
            inner = (Fields(map), name);
        }
    }
    let (inner, place) = inner;
    if let Some((name, _)) = inner.0.iter().find(|(_, value)| value.is_object()) {
        return fail(format!(
            "{place} differs by layer ({name:?}): all layers of a Llama have the same"
        ));
    }
    for fields in [fields, inner] {
        if let Some(part) = fields.number("partial_rotary_factor")?.filter(|&part| part != 1.0) {
            return fail(format!(
                "partial_rotary_factor is {part}: this decoder rotates whole heads"
            ));
        }
    }
    let theta = match inner.number("rope_theta")? {
        Some(theta) => theta,
        None => fields.number("rope_theta")?.unwrap_or(10_000.0),
    };
    let kind = match inner.text("rope_type")? {
        Some(kind) => Some(kind),
        None => inner.text("type")?,
    };
    let scaling = match kind {
        None | Some("default") => None,
        Some("llama3") => {
            let number = |name: &str| {
                let missing = || Error::Config(format!("{place} is \"llama3\" and has no {name}"));
                inner.number(name)?.ok_or_else(missing)
            };
            let name = "original_max_position_embeddings";
            let original = match inner.optional_size(name)? {
                Some(original) => Some(original),
                None => fields.optional_size("max_position_embeddings")?,
            };
            Some(Llama3Scaling {
                factor: number("factor")?,
                low_freq_factor: number("low_freq_factor")?,
                high_freq_factor: number("high_freq_factor")?,
                original_max_position_embeddings: original.ok_or_else(|| {
                    Error::Config(format!("{place} is \"llama3\" and has no {name}"))
                })?,
            })
        }
        Some(kind) => {
            return fail(format!(
                "{place} {kind:?} is unknown: only \"default\" and \"llama3\" are computed"
            ));
        }
    };
    Ok((theta, scaling))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = r#"{"model_type": "llama", "vocab_size": 64, "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 2, "num_attention_heads": 4}"#;

    /// `PLAIN` with more fields, or others.
    fn with(changes: Value) -> Result<Config> {
        let mut json: Map<String, Value> = serde_json::from_str(PLAIN).unwrap();
        json.extend(changes.as_object().unwrap().clone());
        Config::from_json(&Value::Object(json).to_string())
    }

    #[test]
    fn what_is_left_out_is_what_transformers_takes_it_to_be() {
        let config = Config::from_json(PLAIN).unwrap();
        assert_eq!(config.num_key_value_heads, 4);
        assert_eq!(config.head_dim, 4);
        assert_eq!((config.rms_norm_eps, config.rope_theta), (1e-6, 1e4));
        assert_eq!(config.max_position_embeddings, 2048);
        assert!(!config.tie_word_embeddings && config.rope_scaling.is_none());
        let null = json!({"head_dim": null, "num_key_value_heads": null, "rope_scaling": null});
        assert_eq!(with(null).unwrap(), config);
    }

    #[test]
    fn rope_is_read_wherever_it_is() {
        let llama3 = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192});
        let old = with(json!({"rope_theta": 5e5, "rope_scaling": llama3})).unwrap();
        assert_eq!(old.rope_scaling.unwrap().factor, 8.0);
        let mut inner = llama3.clone();
        inner["rope_theta"] = json!(5e5);
        assert_eq!(with(json!({"rope_parameters": inner})).unwrap(), old);
        let mut oldest = llama3;
        oldest["type"] = oldest["rope_type"].take();
        assert_eq!(with(json!({"rope_theta": 500_000, "rope_scaling": oldest})).unwrap(), old);
        let plain = json!({"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}, "rope_scaling": {}});
        let plain = with(plain).unwrap();
        assert_eq!((plain.rope_theta, plain.rope_scaling), (500.0, None));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let scaling = Llama3Scaling {
            factor: 32.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        for rope_scaling in [None, Some(scaling)] {
            let config = Config {
                num_key_value_heads: 2,
                rope_scaling,
                tie_word_embeddings: true,
                ..Config::from_json(PLAIN).unwrap()
            };
            let text = Value::Object(config.to_json()).to_string();
            assert_eq!(Config::from_json(&text).unwrap(), config);
        }
    }

    #[test]
    fn what_this_decoder_does_not_have_is_named() {
        for (changes, expected) in [
            (json!({"model_type": "mistral"}), "model_type \"mistral\" is unknown"),
            (
                json!({"architectures": ["LlamaForSequenceClassification"]}),
                "LlamaForSequenceClassification",
            ),
            (json!({"model_type": null}), "neither model_type nor architectures"),
            (json!({"model_type": null, "architectures": ["GPT2LMHeadModel"]}), "GPT2LMHeadModel"),
            (json!({"attention_bias": true}), "attention_bias is true"),
            (json!({"mlp_bias": true}), "mlp_bias is true"),
            (json!({"mlp_bias": "yes"}), "mlp_bias is \"yes\": it must be true or false"),
            (json!({"hidden_act": "gelu"}), "hidden_act \"gelu\" is unknown"),
            (json!({"quantization_config": {"quant_method": "gptq"}}), "gptq"),
            (
                json!({"rope_scaling": {"type": "linear", "factor": 2.0}}),
                "rope_scaling \"linear\" is unknown",
            ),
            (
                json!({"rope_parameters": {"rope_type": "yarn"}}),
                "rope_parameters \"yarn\" is unknown",
            ),
            (json!({"rope_scaling": {"rope_type": "llama3"}}), "has no factor"),
            (json!({"rope_scaling": "llama3"}), "rope_scaling is \"llama3\": it must be an object"),
            (
                json!({"rope_parameters": {"full_attention": {"rope_theta": 1.0}}}),
                "differs by layer",
            ),
            (json!({"partial_rotary_factor": 0.5}), "partial_rotary_factor is 0.5"),
            (json!({"hidden_size": null}), "hidden_size is missing"),
            (json!({"hidden_size": -16}), "hidden_size is -16: it must be a whole number"),
            (json!({"hidden_size": 1e300}), "hidden_size is 1e+300: it must be a whole number"),
            (
                json!({"hidden_size": 18}),
                "hidden_size is 18, not a multiple of num_attention_heads, 4",
            ),
            (json!({"num_attention_heads": 0}), "num_attention_heads, 0"),
            (json!({"num_attention_heads": 0, "head_dim": 4}), "num_attention_heads is 0"),
            (json!({"num_key_value_heads": 0}), "num_key_value_heads is 0"),
            (json!({"num_key_value_heads": 3}), "not a multiple of num_key_value_heads, 3"),
            (json!({"head_dim": 5}), "head_dim is 5"),
            (json!({"head_dim": 1 << 27}), "their product must be at most 2^28"),
            (json!({"vocab_size": 0}), "vocab_size is 0"),
            (json!({"num_hidden_layers": 1u64 << 40}), "num_hidden_layers is 1099511627776"),
            (json!({"rms_norm_eps": 0}), "rms_norm_eps is 0"),
            (json!({"rope_theta": -1.0}), "rope_theta is -1"),
        ] {
            let text = changes.to_string();
            let error = with(changes).expect_err(&text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let error = Config::from_json("[]").unwrap_err().to_string();
        assert!(error.contains("not a JSON object"), "{error}");
    }

    #[test]
    fn a_scaling_that_divides_by_nothing_is_refused() {
        let scaling = |factor: f64, low: f64, high: f64| {
            with(
                json!({"rope_scaling": {"rope_type": "llama3", "factor": factor, "low_freq_factor": low,
                "high_freq_factor": high, "original_max_position_embeddings": 8192}}),
            )
        };
        assert!(scaling(8.0, 1.0, 4.0).is_ok());
        for (factor, low, high) in
            [(0.0, 1.0, 4.0), (8.0, 1.0, 1.0), (8.0, 4.0, 1.0), (8.0, 0.0, 1.0)]
        {
            assert!(scaling(factor, low, high).is_err(), "{factor} {low} {high}");
        }
    }
}
