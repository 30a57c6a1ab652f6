//! `adapter_config.json`: the fields that mean something mathematically, and a refusal of those we do not have.

use std::collections::BTreeMap;

use lora::Scaling;
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// PEFT's `LoraConfig`, as far as it has a meaning here. Names and defaults are PEFT's.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraConfig {
    /// Rank of every module that `rank_pattern` does not name.
    pub r: usize,
    /// α of every module that `alpha_pattern` does not name.
    pub lora_alpha: f64,
    /// α/√r instead of α/r.
    pub use_rslora: bool,
    /// Other ranks, by a regular expression for the end of a module's name.
    pub rank_pattern: BTreeMap<String, usize>,
    /// Other α, by a regular expression for the end of a module's name.
    pub alpha_pattern: BTreeMap<String, f64>,
    /// Dropout on the adapter's input while training.
    pub lora_dropout: f64,
    /// The adapted modules, by the ends of their names.
    pub target_modules: Vec<String>,
    /// The model it was trained on.
    pub base_model_name_or_path: Option<String>,
    /// What the model is for, `CAUSAL_LM` for example: PEFT picks a wrapper by it.
    pub task_type: Option<String>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            r: 8,
            lora_alpha: 8.0,
            use_rslora: false,
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
            lora_dropout: 0.0,
            target_modules: Vec::new(),
            base_model_name_or_path: None,
            task_type: None,
        }
    }
}

/// Rank, α and scale of one module.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resolved {
    /// r.
    pub rank: usize,
    /// α.
    pub alpha: f64,
    /// s.
    pub scale: f64,
}

/// What stands in the file. Everything else lands in `rest`.
#[derive(Deserialize, Serialize)]
struct File {
    peft_type: String,
    #[serde(default = "default_rank")]
    r: usize,
    #[serde(default = "default_alpha")]
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default, deserialize_with = "or_empty")]
    rank_pattern: BTreeMap<String, usize>,
    #[serde(default, deserialize_with = "or_empty")]
    alpha_pattern: BTreeMap<String, f64>,
    #[serde(default)]
    lora_dropout: f64,
    #[serde(default)]
    target_modules: Value,
    #[serde(default)]
    base_model_name_or_path: Option<String>,
    #[serde(default)]
    task_type: Option<String>,
    #[serde(default)]
    init_lora_weights: Value,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

fn default_rank() -> usize {
    8
}

fn default_alpha() -> f64 {
    8.0
}

/// PEFT writes `null` for a pattern in some versions.
fn or_empty<'de, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Fields that say how the adapter was made or where it goes, not what it computes once its tensors are given.
const WITHOUT_EFFECT: [&str; 12] = [
    "auto_mapping",
    "ensure_weight_tying",
    "exclude_modules",
    "fan_in_fan_out", // of the base weight; A and B are stored the same way
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config", // acts through init_lora_weights, which is checked
    "megatron_core",
    "peft_version",
    "qalora_group_size", // acts through use_qalora, which is checked
    "revision",
];

/// Inits that leave the base weights alone; the others (PiSSA, OLoRA, LoftQ, …) move a part of W into A and B.
const PLAIN_INITS: [&str; 3] = ["gaussian", "orthogonal", "eva"];

impl LoraConfig {
    /// The configuration in the text of an `adapter_config.json`.
    ///
    /// # Errors
    /// Says which field is wrong, or asks for something these crates do not compute.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if file.peft_type != "LORA" {
            return Err(format!("peft_type {:?} is not supported: only LORA is", file.peft_type));
        }
        if let Some(init) = file.init_lora_weights.as_str()
            && !PLAIN_INITS.contains(&init)
        {
            return Err(format!(
                "init_lora_weights {init:?} changes the base model's weights and is not supported: \
                 convert the adapter to plain LoRA with PEFT first"
            ));
        }
        for (name, value) in &file.rest {
            if !WITHOUT_EFFECT.contains(&name.as_str()) && !is_off(value) {
                return Err(format!("{name} is {value}: not supported"));
            }
        }
        let target_modules = match &file.target_modules {
            Value::Null => Vec::new(),
            Value::String(one) => vec![one.clone()],
            list => serde_json::from_value(list.clone())
                .map_err(|_| format!("target_modules is {list}: a list of names is expected"))?,
        };
        let config = Self {
            r: file.r,
            lora_alpha: file.lora_alpha,
            use_rslora: file.use_rslora,
            rank_pattern: file.rank_pattern,
            alpha_pattern: file.alpha_pattern,
            lora_dropout: file.lora_dropout,
            target_modules,
            base_model_name_or_path: file.base_model_name_or_path,
            task_type: file.task_type,
        };
        config.check()?;
        Ok(config)
    }

    /// The text of an `adapter_config.json` that PEFT 0.21 loads.
    pub fn to_json(&self) -> String {
        let value = json!({
            "alpha_pattern": self.alpha_pattern,
            "base_model_name_or_path": self.base_model_name_or_path,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "lora_alpha": self.lora_alpha,
            "lora_dropout": self.lora_dropout,
            "peft_type": "LORA",
            "r": self.r,
            "rank_pattern": self.rank_pattern,
            "target_modules": self.target_modules,
            "task_type": self.task_type,
            "use_rslora": self.use_rslora,
        });
        format!("{value:#}\n")
    }

    /// Rank, α and scale of a module: the first pattern that matches the end of its name, at a dot, decides.
    ///
    /// # Errors
    /// A pattern is no regular expression, the rank is 0, or α is not finite.
    pub fn resolve(&self, module: &str) -> Result<Resolved, String> {
        let rank = matching(&self.rank_pattern, module)?.unwrap_or(self.r);
        let alpha = matching(&self.alpha_pattern, module)?.unwrap_or(self.lora_alpha);
        let scaling = if self.use_rslora { Scaling::RsLora } else { Scaling::AlphaOverR };
        let scale = scaling.scale(alpha, rank).map_err(|error| format!("{module}: {error}"))?;
        Ok(Resolved { rank, alpha, scale })
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if !(0.0..1.0).contains(&self.lora_dropout) {
            return Err(format!("lora_dropout is {}: 0 ≤ p < 1", self.lora_dropout));
        }
        self.resolve("").map(|_| ())
    }
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty() || text == "none",
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn matching<T: Copy>(patterns: &BTreeMap<String, T>, module: &str) -> Result<Option<T>, String> {
    for (pattern, &value) in patterns {
        let regex = Regex::new(&format!(r"^(?:.*\.)?(?:{pattern})$"))
            .map_err(|_| format!("the pattern {pattern:?} is no regular expression"))?;
        if regex.is_match(module) {
            return Ok(Some(value));
        }
    }
    Ok(None)
}
