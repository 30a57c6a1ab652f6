//! `adapter_config.json`: the fields that mean something mathematically, and a refusal of those we do not have.

use lora::Scaling;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::error::wrong;
use crate::pattern::Resolver;
use crate::{Resolved, Result};

/// PEFT's `LoraConfig`, as far as it has a meaning here. Names and defaults are PEFT's.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraConfig {
    /// Rank of every module that `rank_pattern` does not name.
    pub r: usize,
    /// α of every module that `alpha_pattern` does not name.
    pub lora_alpha: f64,
    /// α/√r instead of α/r.
    pub use_rslora: bool,
    /// Other ranks, by a regular expression for the end of a module's name. In the order of the file, since the first
    /// that matches decides: see [`resolve`](Self::resolve).
    pub rank_pattern: Vec<(String, usize)>,
    /// Other α, by a regular expression for the end of a module's name.
    pub alpha_pattern: Vec<(String, f64)>,
    /// Dropout on the adapter's input while training.
    pub lora_dropout: f64,
    /// The adapted modules, by the ends of their names (from a dot on). Empty: exactly those of the folder.
    ///
    /// Empty also stands for what PEFT can only answer with the model at hand: a regular expression, `"all-linear"`,
    /// `exclude_modules`, `layers_to_transform`. Written, it becomes the list of the folder's modules.
    pub target_modules: Vec<String>,
    /// The model it was trained on.
    pub base_model_name_or_path: Option<String>,
    /// Which revision of that model.
    pub revision: Option<String>,
    /// What the model is for, `CAUSAL_LM` for example: PEFT picks a wrapper by it.
    pub task_type: Option<String>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            r: 8,
            lora_alpha: 8.0,
            use_rslora: false,
            rank_pattern: Vec::new(),
            alpha_pattern: Vec::new(),
            lora_dropout: 0.0,
            target_modules: Vec::new(),
            base_model_name_or_path: None,
            revision: None,
            task_type: None,
        }
    }
}

/// Fields that say how the adapter was made or where it goes, not what it computes once its tensors are given.
const WITHOUT_EFFECT: [&str; 13] = [
    "auto_mapping",
    "ensure_weight_tying", // of embeddings and modules_to_save, which are refused
    "fan_in_fan_out",      // of the base weight; A and B are stored the same way
    "inference_mode",
    "peft_version",
    "runtime_config",
    // These act through another field: init_lora_weights, layers_to_transform, megatron_config, use_qalora.
    "corda_config",
    "eva_config",
    "loftq_config",
    "lora_ga_config",
    "layers_pattern",
    "megatron_core",
    "qalora_group_size",
];

/// Fields that take modules out of `target_modules`.
const SELECTION: [&str; 2] = ["exclude_modules", "layers_to_transform"];

/// Inits that leave the base weights alone. PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA move a part of W into A and B; MiCA
/// freezes B.
const PLAIN_INITS: [&str; 3] = ["gaussian", "orthogonal", "eva"];

impl LoraConfig {
    /// The configuration in the text of an `adapter_config.json`.
    ///
    /// # Errors
    /// Names the field that is wrong or asks for something these crates do not compute. A field that is not known
    /// here must be null, false, `"none"` or empty.
    pub fn parse(text: &str) -> Result<Self> {
        let mut fields: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| wrong(place(text, &error)))?;
        match take::<String>(&mut fields, "peft_type")?.as_deref() {
            Some("LORA") => Self::from_fields(fields),
            Some(other) => Err(wrong(format!("peft_type is {other:?}: only LORA is supported"))),
            None => Err(wrong("peft_type is missing: is this PEFT's adapter_config.json?")),
        }
    }

    fn from_fields(mut fields: Map<String, Value>) -> Result<Self> {
        let default = Self::default();
        let config = Self {
            r: take(&mut fields, "r")?.unwrap_or(default.r),
            lora_alpha: take(&mut fields, "lora_alpha")?.unwrap_or(default.lora_alpha),
            use_rslora: take(&mut fields, "use_rslora")?.unwrap_or_default(),
            rank_pattern: take_patterns(&mut fields, "rank_pattern")?,
            alpha_pattern: take_patterns(&mut fields, "alpha_pattern")?,
            lora_dropout: take(&mut fields, "lora_dropout")?.unwrap_or_default(),
            target_modules: take_targets(&mut fields)?,
            base_model_name_or_path: take(&mut fields, "base_model_name_or_path")?,
            revision: take(&mut fields, "revision")?,
            task_type: take(&mut fields, "task_type")?,
        };
        match take(&mut fields, "init_lora_weights")? {
            None | Some(Value::Bool(_)) => {}
            Some(Value::String(init)) if PLAIN_INITS.contains(&init.as_str()) => {}
            Some(init) => {
                return Err(wrong(format!(
                    "init_lora_weights is {init}: an adapter of changed base weights is not supported; \
                     convert it to plain LoRA with PEFT first"
                )));
            }
        }
        for (name, value) in &fields {
            if !WITHOUT_EFFECT.contains(&name.as_str()) && !is_off(value) {
                return Err(wrong(format!("{name} is {}: not supported", short(value))));
            }
        }
        config.resolver()?;
        Ok(config)
    }

    /// The text of an `adapter_config.json` that PEFT 0.21 loads: sorted by field, as PEFT does.
    pub fn to_json(&self) -> String {
        let ranks = self.rank_pattern.iter().map(|(text, rank)| (text, (*rank).into()));
        let alphas = self.alpha_pattern.iter().map(|(text, alpha)| (text, number(*alpha)));
        let value = json!({
            "alpha_pattern": first_of_each(alphas),
            "base_model_name_or_path": self.base_model_name_or_path,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "lora_alpha": number(self.lora_alpha),
            "lora_dropout": self.lora_dropout,
            "peft_type": "LORA",
            "r": self.r,
            "rank_pattern": first_of_each(ranks),
            "revision": self.revision,
            "target_modules": self.target_modules,
            "task_type": self.task_type,
            "use_rslora": self.use_rslora,
        });
        format!("{value:#}\n")
    }

    /// Rank, α and scale of a module.
    ///
    /// The first pattern that matches the end of the module's name, from its start or a dot on, decides: `q_proj` is
    /// for `layers.0.q_proj` and not for `layers.0.my_q_proj`. Patterns that need a backtracking engine (look-around,
    /// back-references) are refused.
    ///
    /// # Errors
    /// A pattern is no regular expression, a rank is 0, or α or the dropout is out of range.
    pub fn resolve(&self, module: &str) -> Result<Resolved> {
        self.resolver()?.resolve(module)
    }

    /// What divides α: see [`Scaling`].
    pub fn scaling(&self) -> Scaling {
        if self.use_rslora { Scaling::RsLora } else { Scaling::AlphaOverR }
    }

    pub(crate) fn resolver(&self) -> Result<Resolver<'_>> {
        if !(0.0..1.0).contains(&self.lora_dropout) {
            return Err(wrong(format!("lora_dropout is {}: 0 ≤ p < 1", self.lora_dropout)));
        }
        Resolver::new(self)
    }

    /// PEFT's `check_target_module_exists` for a list of names: what is not on it, PEFT leaves out with a warning.
    pub(crate) fn check_target(&self, module: &str) -> Result<()> {
        let ends = |name: &String| {
            let rest = module.strip_suffix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        if self.target_modules.is_empty() || self.target_modules.iter().any(ends) {
            return Ok(());
        }
        let targets = short(format!("{:?}", self.target_modules));
        Err(wrong(format!(
            "{module} is not among target_modules {targets}: PEFT would leave it out"
        )))
    }
}

/// A field, which may be absent or null.
fn take<T: DeserializeOwned>(fields: &mut Map<String, Value>, name: &str) -> Result<Option<T>> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => typed(name, value).map(Some),
    }
}

fn take_patterns<N: DeserializeOwned>(
    fields: &mut Map<String, Value>,
    name: &str,
) -> Result<Vec<(String, N)>> {
    let patterns: Map<String, Value> = take(fields, name)?.unwrap_or_default();
    let one = |(pattern, value): (String, Value)| {
        let number = typed(&format!("{name} of {pattern:?}"), value)?;
        Ok((pattern, number))
    };
    patterns.into_iter().map(one).collect()
}

fn take_targets(fields: &mut Map<String, Value>) -> Result<Vec<String>> {
    let targets: Option<Value> = take(fields, "target_modules")?;
    let narrowed: Vec<_> =
        SELECTION.map(|name| fields.remove(name)).into_iter().flatten().collect();
    match targets {
        None | Some(Value::String(_)) => Ok(Vec::new()),
        Some(list) => {
            let names = typed("target_modules", list)?;
            Ok(if narrowed.iter().all(is_off) { names } else { Vec::new() })
        }
    }
}

fn typed<T: DeserializeOwned>(name: &str, value: Value) -> Result<T> {
    let text = short(&value);
    serde_json::from_value(value).map_err(|error| wrong(format!("{name} is {text}: {error}")))
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

/// Whole numbers without a point: PEFT's α is an integer, and other readers insist on it.
fn number(value: f64) -> Value {
    let whole = value as i64;
    if whole as f64 == value { whole.into() } else { value.into() }
}

/// JSON would keep the last of two equal patterns; the first one decides.
fn first_of_each<'a>(patterns: impl Iterator<Item = (&'a String, Value)>) -> Map<String, Value> {
    let mut map = Map::new();
    for (pattern, value) in patterns {
        map.entry(pattern).or_insert(value);
    }
    map
}

/// PEFT writes a field a line, so the line names the field that holds NaN.
fn place(text: &str, error: &serde_json::Error) -> String {
    let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default().trim();
    format!("{error}: {}", short(line))
}

fn short(value: impl ToString) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
