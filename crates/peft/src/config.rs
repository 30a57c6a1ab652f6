//! `adapter_config.json`, as far as LoRA, DoRA and VeRA have the same fields; and a refusal of those we do not have.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::Result;
use crate::error::{refused, wrong};

/// The kinds of adapter that are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `LORA`: [`read()`](crate::read()) and [`write()`](crate::write()). LoRA-FA, Delta-LoRA and LoRA+ too leave such
    /// a folder: see [`MethodNote`](crate::MethodNote).
    Lora,
    /// `LORA` with `use_dora`: [`read_dora`](crate::read_dora) and [`write_dora`](crate::write_dora).
    Dora,
    /// `VERA`: [`read_vera`](crate::read_vera) and [`write_vera`](crate::write_vera).
    Vera,
}

impl Kind {
    /// The kind of the adapter that this `adapter_config.json` describes.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        Fields::any(text).map(|(kind, _)| kind)
    }

    /// As `peft_type` has it.
    fn peft_type(self) -> &'static str {
        match self {
            Self::Lora | Self::Dora => "LORA",
            Self::Vera => "VERA",
        }
    }
}

/// Fields that say how the adapter was made or where it goes, not what it computes once its tensors are given.
const WITHOUT_EFFECT: [&str; 6] = [
    "auto_mapping",
    "fan_in_fan_out", // of the base weight; an adapter's tensors are stored the same way
    "inference_mode",
    "layers_pattern", // acts through layers_to_transform
    "peft_version",
    "runtime_config",
];

/// Fields that take modules out of `target_modules`.
const SELECTION: [&str; 2] = ["exclude_modules", "layers_to_transform"];

/// The fields that are still to be read: each is taken out once, and what is left at the end is not supported.
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Of an adapter of this kind.
    pub fn parse(text: &str, wanted: Kind) -> Result<Self> {
        let (kind, fields) = Self::any(text)?;
        match (kind, wanted) {
            _ if kind == wanted => Ok(fields),
            (Kind::Dora, Kind::Lora) => {
                Err(wrong("use_dora is true: this is an adapter of the method dora, not of LoRA"))
            }
            (Kind::Lora, Kind::Dora) => {
                Err(wrong("use_dora is false: this is an adapter of LoRA, not of the method dora"))
            }
            _ => {
                let [kind, wanted] = [kind, wanted].map(Kind::peft_type);
                Err(wrong(format!("peft_type is {kind}: a {wanted} adapter is needed here")))
            }
        }
    }

    fn any(text: &str) -> Result<(Kind, Self)> {
        let fields = serde_json::from_str(text).map_err(|error| wrong(place(text, &error)))?;
        let mut fields = Self(fields);
        let Some(peft_type) = fields.take::<String>("peft_type")? else {
            return Err(wrong("peft_type is missing: is this PEFT's adapter_config.json?"));
        };
        let kind = match peft_type.as_str() {
            "LORA" if fields.take("use_dora")? == Some(true) => Kind::Dora,
            "LORA" => Kind::Lora,
            "VERA" => Kind::Vera,
            _ => {
                let found = short(format!("{peft_type:?}"));
                return Err(wrong(format!("peft_type is {found}: LORA and VERA are supported")));
            }
        };
        Ok((kind, fields))
    }

    /// A field, which may be absent or null.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => typed(name, value).map(Some),
        }
    }

    /// `target_modules`; empty where only the model can say which modules are meant.
    pub fn take_targets(&mut self) -> Result<Vec<String>> {
        let targets: Option<Value> = self.take("target_modules")?;
        let narrowed: Vec<_> =
            SELECTION.map(|name| self.0.remove(name)).into_iter().flatten().collect();
        match targets {
            None | Some(Value::String(_)) => Ok(Vec::new()),
            Some(list) => {
                let names = typed("target_modules", list)?;
                Ok(if narrowed.iter().all(is_off) { names } else { Vec::new() })
            }
        }
    }

    /// What nobody took must be switched off, or without effect.
    pub fn refuse_the_rest(self, without_effect: &[&str]) -> Result<()> {
        for (name, value) in &self.0 {
            let ignored = WITHOUT_EFFECT.iter().chain(without_effect).any(|known| known == name);
            if !ignored && !is_off(value) {
                return Err(wrong(format!("{name} is {}: not supported", short(value))));
            }
        }
        Ok(())
    }
}

pub(crate) fn typed<T: DeserializeOwned>(name: &str, value: Value) -> Result<T> {
    let text = short(&value);
    serde_json::from_value(value).map_err(refused(format!("{name} is {text}")))
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

/// The text of an `adapter_config.json` that PEFT 0.21 loads: sorted by field, as PEFT does.
pub(crate) fn to_text<const N: usize>(kind: Kind, fields: [(&str, Value); N]) -> String {
    let mut sorted = BTreeMap::from(fields);
    sorted.insert("bias", "none".into());
    sorted.insert("fan_in_fan_out", false.into());
    sorted.insert("inference_mode", true.into());
    sorted.insert("peft_type", kind.peft_type().into());
    if kind == Kind::Dora {
        sorted.insert("use_dora", true.into());
    }
    // A note is there only if there is something to note; null says the same of the other fields.
    sorted.retain(|name, value| *name != NOTE || !value.is_null());
    let text = serde_json::to_string_pretty(&sorted).expect("keys are strings");
    format!("{text}\n")
}

/// Where a [`MethodNote`](crate::MethodNote) stands.
pub(crate) const NOTE: &str = "lowrank_method";

pub(crate) fn check_rank(name: &str, rank: usize) -> Result<()> {
    if rank == 0 { Err(wrong(format!("{name} is 0: a rank is at least 1"))) } else { Ok(()) }
}

pub(crate) fn check_dropout(name: &str, p: f64) -> Result<()> {
    let in_range = (0.0..1.0).contains(&p);
    if in_range { Ok(()) } else { Err(wrong(format!("{name} is {p}: 0 ≤ p < 1"))) }
}

/// PEFT's `check_target_module_exists` for a list of names: what is not on it, PEFT leaves out with a warning.
pub(crate) fn check_target(target_modules: &[String], module: &str) -> Result<()> {
    let ends = |name: &String| {
        let rest = module.strip_suffix(name.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    if target_modules.is_empty() || target_modules.iter().any(ends) {
        return Ok(());
    }
    let targets = short(format!("{target_modules:?}"));
    Err(wrong(format!("{module} is not among target_modules {targets}: PEFT would leave it out")))
}

/// No targets: exactly the folder's modules.
pub(crate) fn fill_targets<A>(target_modules: &mut Vec<String>, modules: &BTreeMap<String, A>) {
    if target_modules.is_empty() {
        target_modules.extend(modules.keys().cloned());
    }
}

/// PEFT writes a field a line, so the line names the field that holds NaN.
fn place(text: &str, error: &serde_json::Error) -> String {
    let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default().trim();
    format!("{error}: {}", short(line))
}

pub(crate) fn short(value: impl ToString) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
