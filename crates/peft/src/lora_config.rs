//! `adapter_config.json` of LoRA and of DoRA: the fields that mean something mathematically.

use lora::Scaling;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::config::{Fields, Kind, NOTE, check_dropout, to_text, typed};
use crate::error::wrong;
use crate::lora_pattern::Resolver;
use crate::start::Start;
use crate::{MethodNote, Resolved, Result};

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
    /// Which biases of the model were trained too: see [`Extras::replaced`](crate::Extras::replaced).
    pub bias: Bias,
    /// Whether B has a bias: see [`Extras::biases`](crate::Extras::biases).
    pub lora_bias: bool,
    /// Modules that were trained whole, by the ends of their names: see [`Extras::replaced`](crate::Extras::replaced).
    pub modules_to_save: Vec<String>,
    /// Which of this project's methods made it. PEFT has no such field: it warns, and computes the same.
    pub lowrank_method: Option<MethodNote>,
}

/// Which biases of the model are trained beside A and B.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bias {
    /// None of them.
    #[default]
    None,
    /// Those of the adapted modules.
    LoraOnly,
    /// All of them.
    All,
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
            bias: Bias::None,
            lora_bias: false,
            modules_to_save: Vec::new(),
            lowrank_method: None,
        }
    }
}

/// Fields that change nothing once A and B are given, beside those that VeRA has too.
const WITHOUT_EFFECT: [&str; 6] = [
    // These act through another field: init_lora_weights, megatron_config, use_qalora.
    "corda_config",
    "eva_config",
    "loftq_config",
    "lora_ga_config",
    "megatron_core",
    "qalora_group_size",
];

/// Inits that leave the base weights alone. MiCA trains A alone, and both are in the folder.
const PLAIN_INITS: [&str; 4] = ["gaussian", "orthogonal", "eva", "mica"];

/// Why the adapter with this `init_lora_weights` is not read: its start changed W, and what that became cannot be found again.
fn check_init(init: &Value) -> Result<()> {
    let why = match init.as_str() {
        Some(name) if PLAIN_INITS.contains(&name.to_lowercase().as_str()) => return Ok(()),
        Some(name) if name.starts_with("pissa_niter_") => {
            "the start was taken out of W by a random SVD, another one each time that PEFT loads it"
        }
        Some("corda") => {
            "the start was taken out of W by what its inputs were on data that the folder has not"
        }
        Some("lora_ga") => {
            "the start was taken out of W by gradients on data that the folder has not; PEFT loads it beside a W that still \
             has that part"
        }
        // PEFT needs bitsandbytes and a GPU for it, in int8 and, from 0.20 on, in 4 bits too. Before, 4 bits without
        // bitsandbytes' had other levels.
        Some("loftq") => {
            "W was quantised, by bitsandbytes on a GPU or by an older PEFT in another way, and the folder does not say to what"
        }
        _ => return Err(wrong(format!("init_lora_weights is {init}: it is unknown here"))),
    };
    Err(wrong(format!(
        "init_lora_weights is {init}: {why}. In the program that trained it, model.unload().save_pretrained(\"base\") writes the W \
         beneath it: give that model, and set init_lora_weights to true in adapter_config.json; or merge it there"
    )))
}

impl LoraConfig {
    /// The configuration in the text of an `adapter_config.json`.
    ///
    /// # Errors
    /// Names the field that is wrong or asks for something these crates do not compute. A field that is not known
    /// here must be null, false, `"none"` or empty. PiSSA and OLoRA need the model: see [`read_on`](crate::read_on).
    pub fn parse(text: &str) -> Result<Self> {
        let (config, start) = Self::parse_as(Kind::Lora, text)?;
        check_beside(start)?;
        Ok(config)
    }

    /// The same of this kind, wherever its adapters started.
    pub(crate) fn parse_as(kind: Kind, text: &str) -> Result<(Self, Start)> {
        let mut fields = Fields::parse(text, kind)?;
        let default = Self::default();
        let mut target_modules = fields.take_targets()?;
        // Then PEFT gives the output matrix, which is the embedding, an adapter too, saves both and names one of them.
        if fields.take("ensure_weight_tying")?.unwrap_or(false)
            && target_modules.iter().any(|name| name.ends_with("embed_tokens"))
        {
            target_modules.push("lm_head".to_owned());
        }
        let config = Self {
            r: fields.take("r")?.unwrap_or(default.r),
            lora_alpha: fields.take("lora_alpha")?.unwrap_or(default.lora_alpha),
            use_rslora: fields.take("use_rslora")?.unwrap_or_default(),
            rank_pattern: take_patterns(&mut fields, "rank_pattern")?,
            alpha_pattern: take_patterns(&mut fields, "alpha_pattern")?,
            lora_dropout: fields.take("lora_dropout")?.unwrap_or_default(),
            target_modules,
            base_model_name_or_path: fields.take("base_model_name_or_path")?,
            revision: fields.take("revision")?,
            task_type: fields.take("task_type")?,
            bias: fields.take("bias")?.unwrap_or_default(),
            lora_bias: fields.take("lora_bias")?.unwrap_or_default(),
            modules_to_save: fields.take("modules_to_save")?.unwrap_or_default(),
            lowrank_method: fields.take(NOTE)?,
        };
        let start = match fields.take("init_lora_weights")? {
            None | Some(Value::Bool(_)) => Start::Beside,
            Some(Value::String(name)) if name == "pissa" => Start::Pissa,
            Some(Value::String(name)) if name.to_lowercase() == "olora" => Start::Olora,
            Some(init) => check_init(&init).map(|()| Start::Beside)?,
        };
        fields.refuse_the_rest(&WITHOUT_EFFECT)?;
        config.resolver()?;
        Ok((config, start))
    }

    /// The text of an `adapter_config.json` that PEFT 0.21 loads: sorted by field, as PEFT does.
    pub fn to_json(&self) -> String {
        self.to_json_as(Kind::Lora)
    }

    /// The same, of this kind.
    pub(crate) fn to_json_as(&self, kind: Kind) -> String {
        let ranks = self.rank_pattern.iter().map(|(text, rank)| (text, (*rank).into()));
        let alphas = self.alpha_pattern.iter().map(|(text, alpha)| (text, number(*alpha)));
        let fields = [
            ("alpha_pattern", first_of_each(alphas).into()),
            ("base_model_name_or_path", json!(self.base_model_name_or_path)),
            ("init_lora_weights", true.into()),
            ("lora_alpha", number(self.lora_alpha)),
            ("lora_dropout", self.lora_dropout.into()),
            (NOTE, json!(self.lowrank_method)),
            ("r", self.r.into()),
            ("rank_pattern", first_of_each(ranks).into()),
            ("revision", json!(self.revision)),
            ("target_modules", json!(self.target_modules)),
            ("task_type", json!(self.task_type)),
            ("use_rslora", self.use_rslora.into()),
        ];
        to_text(kind, fields)
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
        check_dropout("lora_dropout", self.lora_dropout)?;
        self.lowrank_method.as_ref().map_or(Ok(()), MethodNote::check)?;
        Resolver::new(self)
    }
}

/// # Errors
/// The adapters stand beside what their start left of W.
pub(crate) fn check_beside(start: Start) -> Result<()> {
    match start {
        Start::Beside => Ok(()),
        _ => Err(wrong(format!(
            "init_lora_weights is {:?}: the adapter's start was taken out of W, so W is needed to read it. `lowrank generate`, \
             `merge`, and with --model `inspect`, `resize` and `combine` read it; to train it further, merge it and start from the result, or convert it \
             to plain LoRA (path_initial_model_for_weight_conversion of PEFT's save_pretrained)",
            start.name()
        ))),
    }
}

fn take_patterns<N: DeserializeOwned>(fields: &mut Fields, name: &str) -> Result<Vec<(String, N)>> {
    let patterns: Map<String, Value> = fields.take(name)?.unwrap_or_default();
    let one = |(pattern, value): (String, Value)| {
        let number = typed(&format!("{name} of {pattern:?}"), value)?;
        Ok((pattern, number))
    };
    patterns.into_iter().map(one).collect()
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
