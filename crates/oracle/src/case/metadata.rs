//! A case: which method does what, with which parameters, under which name.

use std::fmt;
use std::str::FromStr;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::case::params::{MOST_EXACT, Params, RawParams};
use crate::{Error, Result, TensorFile, error::wrong};

/// The version of the format.
pub const SCHEMA: &str = "lowrank-case/1";

/// The five methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Method {
    Lora,
    LoraFa,
    Vera,
    DeltaLora,
    LoraPlus,
}

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// y.
    Forward,
    /// y, ∂L/∂x and the gradient of every trained tensor.
    Backward,
    /// One update.
    Step,
    /// Several updates, each from the case's own state.
    Trajectory,
    /// W + ΔW.
    Merge,
    /// W − ΔW.
    Unmerge,
    /// What the trained tensors hold before the first step.
    Init,
}

/// How a submission is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Equal: no order of summation rounds.
    Exact,
    /// |got − want| ≤ bound, element by element.
    #[default]
    Bounded,
    /// What a linear system leaves over is within its bound.
    Residual,
    /// Samples of a distribution.
    Stat,
    /// An error, and no numbers.
    Reject,
    /// As `Bounded`, or what a flag allows.
    Acceptable,
}

macro_rules! names {
    ($kind:ty, $what:literal, [$($value:expr => $name:literal),*]) => {
        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let all = [$(($value, $name)),*];
                f.pad(all.iter().find(|(value, _)| value == self).expect("all are listed").1)
            }
        }
        impl FromStr for $kind {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                let all = [$(($value, $name)),*];
                let names: Vec<_> = all.iter().map(|(_, name)| *name).collect();
                let found = all.iter().find(|(_, name)| *name == text).map(|(value, _)| *value);
                found.ok_or_else(|| wrong(format!("{text} is no {}: one of {}", $what, names.join(", "))))
            }
        }
    };
}
names!(Method, "method", [Self::Lora => "lora", Self::LoraFa => "lora-fa", Self::Vera => "vera",
    Self::DeltaLora => "delta-lora", Self::LoraPlus => "lora-plus"]);
names!(Op, "op", [Self::Forward => "forward", Self::Backward => "backward", Self::Step => "step",
    Self::Trajectory => "trajectory", Self::Merge => "merge", Self::Unmerge => "unmerge", Self::Init => "init"]);
names!(Class, "class", [Self::Exact => "exact", Self::Bounded => "bounded", Self::Residual => "residual",
    Self::Stat => "stat", Self::Reject => "reject", Self::Acceptable => "acceptable"]);

/// Who made a case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// The generator.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The seed of the inputs.
    pub seed: u64,
}

/// A case without its tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// `method/op/name`: absent in a case that is only to be computed.
    pub id: Option<String>,
    /// The method.
    pub method: Method,
    /// What it does.
    pub op: Op,
    /// How it is judged, if it says so.
    pub class: Option<Class>,
    /// Why this case is there.
    pub flags: Vec<String>,
    /// Who made it.
    pub source: Source,
    /// Paper and equation.
    pub paper: String,
    /// The canonical text.
    pub text: String,
    /// Or why there are none: a case that must be rejected is still a case.
    params: std::result::Result<Params, String>,
}

/// The parameters alone: what is wrong with them is found after the rest was read.
#[derive(Deserialize)]
struct OnlyParams {
    #[serde(default)]
    params: RawParams,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    schema: String,
    id: Option<String>,
    method: Method,
    op: Op,
    class: Option<Class>,
    #[serde(default, rename = "params")]
    _params: IgnoredAny,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    source: Source,
    #[serde(default)]
    paper: String,
}

impl Case {
    /// From the metadata of a file, whose one key is `case`.
    ///
    /// # Errors
    /// The metadata has other keys or none, and those of [`parse`](Self::parse).
    pub fn of(file: &TensorFile) -> Result<Self> {
        let keys: Vec<_> = file.metadata.keys().map(String::as_str).collect();
        if keys != ["case"] {
            return Err(wrong(format!(
                "the metadata has the keys {keys:?} where exactly one, \"case\", is needed"
            )));
        }
        Self::parse(&file.metadata["case"])
    }

    /// From JSON, canonical or not.
    ///
    /// # Errors
    /// It is not JSON, has an unknown key, method or op; the id does not have the form `method/op/name`. What is wrong with
    /// the parameters is an error of [`params`](Self::params).
    pub fn parse(json: &str) -> Result<Self> {
        let fail = |error: serde_json::Error| wrong(format!("case: {error}"));
        // Typed first: it refuses a key that occurs twice, where a `Value` keeps the last.
        let raw: RawCase = serde_json::from_str(json).map_err(fail)?;
        let value: serde_json::Value = serde_json::from_str(json).map_err(fail)?;
        if raw.schema != SCHEMA {
            let got = raw.schema;
            return Err(wrong(format!("case: schema is {got:?}: {SCHEMA:?} is read here")));
        }
        if raw.class == Some(Class::Stat) && raw.op != Op::Init {
            return Err(wrong(format!("case: class stat is for init, and the op is {}", raw.op)));
        }
        if raw.source.seed > MOST_EXACT {
            let seed = raw.source.seed;
            return Err(wrong(format!("case: source.seed is {seed}: at most 2⁵³")));
        }
        if let Some(id) = &raw.id {
            check_id(id, raw.method, raw.op)?;
        }
        let text = serde_json_canonicalizer::to_string(&value).map_err(fail)?;
        let read = |text: &str| {
            serde_json::from_str(text)
                .map_err(|error| wrong(format!("case: params: {error}")))
                .and_then(|OnlyParams { params }| Params::new(raw.method, raw.op, params))
        };
        // As it was written, for what is wrong there; then as the digest covers it: −0 becomes 0.
        let params = read(json).and_then(|_| read(&text)).map_err(|error| error.to_string());
        Ok(Self {
            id: raw.id,
            method: raw.method,
            op: raw.op,
            class: raw.class,
            params,
            flags: raw.flags,
            source: raw.source,
            paper: raw.paper,
            text,
        })
    }

    /// The parameters, defaults filled in.
    ///
    /// # Errors
    /// One is unknown to this method and op, missing, or out of its range.
    pub fn params(&self) -> Result<&Params> {
        self.params.as_ref().map_err(wrong)
    }

    /// Is this flag set?
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|set| set == flag)
    }
}

/// An id becomes a path, so nothing else is let through: `[a-z0-9-]+/[a-z]+/[a-z0-9-]+`, with a method and an op.
///
/// # Errors
/// It has another form.
pub fn parse_id(id: &str) -> Result<(Method, Op)> {
    let parts: Vec<_> = id.split('/').collect();
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    match parts[..] {
        [method, op, name] if plain(name) => Ok((method.parse()?, op.parse()?)),
        _ => Err(wrong(format!(
            "id {id:?} does not have the form method/op/name, with a name of a-z, 0-9 and -"
        ))),
    }
}

fn check_id(id: &str, method: Method, op: Op) -> Result<()> {
    let (its_method, its_op) = parse_id(id).map_err(|error| wrong(format!("case: {error}")))?;
    if (its_method, its_op) == (method, op) {
        return Ok(());
    }
    Err(wrong(format!("case: id is {id:?} where {method}/{op}/… is needed")))
}

/// What is computed, as the book writes it.
pub fn equation(method: Method, op: Op) -> &'static str {
    match (op, method) {
        (Op::Forward, Method::Vera) => "y = x Wᵀ + bias + ((x̃ Aᵀ ⊙ d) Bᵀ) ⊙ b",
        (Op::Forward, _) => "y = x Wᵀ + bias + s x̃ Aᵀ Bᵀ",
        (Op::Backward, Method::Vera) => {
            "∂L/∂x = g W + ((g ⊙ b) B ⊙ d) A ⊙ mask/(1 − p), ∂L/∂b = Σ g ⊙ ((x̃ Aᵀ ⊙ d) Bᵀ), ∂L/∂d = Σ x̃ Aᵀ ⊙ ((g ⊙ b) B)"
        }
        (Op::Backward, Method::LoraFa) => {
            "∂L/∂x = g W + s g B A ⊙ mask/(1 − p), ∂L/∂B = s gᵀ x̃ Aᵀ; projected: (1/s²) ∂L/∂B (A Aᵀ)⁻¹"
        }
        (Op::Backward, _) => {
            "∂L/∂x = g W + s g B A ⊙ mask/(1 − p), ∂L/∂A = s (g B)ᵀ x̃, ∂L/∂B = s gᵀ x̃ Aᵀ"
        }
        (Op::Step | Op::Trajectory, Method::DeltaLora) => {
            "A and B follow their gradients; at update t > start_step W ← W + λ s (B⁺A⁺ − B A)"
        }
        (Op::Step | Op::Trajectory, Method::LoraPlus) => {
            "A and B follow their gradients, B at lr_ratio times the rate of A"
        }
        (Op::Step | Op::Trajectory, Method::LoraFa) => {
            "B follows its gradient, or its projection; A stays"
        }
        (Op::Step | Op::Trajectory, Method::Lora) => "A and B follow their gradients",
        (Op::Step | Op::Trajectory, Method::Vera) => "b and d follow their gradients",
        (Op::Merge, Method::Vera) => "W + Λ_b B Λ_d A",
        (Op::Merge, _) => "W + s B A",
        (Op::Unmerge, Method::Vera) => "W − Λ_b B Λ_d A",
        (Op::Unmerge, _) => "W − s B A",
        (Op::Init, _) => {
            "what A and B hold before the first step: means of x, x², x⁴, and the range"
        }
    }
}
