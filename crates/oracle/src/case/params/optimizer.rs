//! The optimiser of a case.

use adapter::{AdamVariant, AdamW, Group, Optimizer};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::keys::check_keys;
use crate::case::method::Method;
use crate::case::names::names;
use crate::error::{Result, wrong};

/// SGD, or AdamW.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizerParams {
    /// AdamW's variant, β₁, β₂ and ε; `None` is SGD.
    pub adamw: Option<(AdamVariant, (f64, f64), f64)>,
    /// η and the decay, of A in LoRA+.
    pub group: Group,
    /// LoRA+'s λ.
    pub lr_ratio: f64,
}

/// The three updates of a case. An implementation has a branch for each, and may be wrong in one alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// SGD.
    Sgd,
    /// AdamW, variant `torch`.
    Torch,
    /// AdamW, variant `hf`.
    Hf,
}

names!(Rule, "rule", [Self::Sgd => "SGD", Self::Torch => "AdamW's variant torch", Self::Hf => "AdamW's variant hf"]);

impl Rule {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Sgd, Self::Torch, Self::Hf];
}

/// The optimiser as the JSON of a case has it.
#[derive(Deserialize)]
struct OptimizerJson {
    variant: Option<VariantJson>,
    lr: Option<f64>,
    betas: Option<(f64, f64)>,
    eps: Option<f64>,
    weight_decay: Option<f64>,
    lr_ratio: Option<f64>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum NameJson {
    #[default]
    Sgd,
    Adamw,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum VariantJson {
    Torch,
    Hf,
}

impl OptimizerParams {
    /// From the value of `params.optimizer` in a case; SGD where there is none.
    pub(super) fn parse(method: Method, value: Option<Value>) -> Result<Self> {
        let fail = |error| wrong(format!("case: params.optimizer: {error}"));
        let value = value.unwrap_or_else(|| Map::new().into());
        // The name says which other keys there may be.
        let name = value.get("name").map(NameJson::deserialize).transpose().map_err(fail)?;
        let name = name.unwrap_or_default();
        let mut allowed = vec!["name", "lr", "weight_decay"];
        if matches!(name, NameJson::Adamw) {
            allowed.extend(["variant", "betas", "eps"]);
        }
        if method == Method::LoraPlus {
            allowed.push("lr_ratio");
        }
        let owner = format!("this optimizer of {method}");
        check_keys("params.optimizer", &value, &allowed, &owner)?;
        let json: OptimizerJson = serde_json::from_value(value).map_err(fail)?;

        let group =
            Group { lr: json.lr.unwrap_or(1e-3), weight_decay: json.weight_decay.unwrap_or(0.0) };
        let adamw = match name {
            NameJson::Sgd => None,
            NameJson::Adamw => {
                let variant = match json.variant {
                    None | Some(VariantJson::Torch) => AdamVariant::Torch,
                    Some(VariantJson::Hf) => AdamVariant::Hf,
                };
                Some((variant, json.betas.unwrap_or((0.9, 0.999)), json.eps.unwrap_or(1e-8)))
            }
        };
        let made = Self { adamw, group, lr_ratio: json.lr_ratio.unwrap_or(16.0) };
        match made.adamw() {
            Some(adamw) => adamw.validate(),
            None => group.validate(),
        }
        .map_err(|error| wrong(format!("params.optimizer: {error}")))?;
        Ok(made)
    }

    /// Which of the three it is.
    pub(crate) fn rule(&self) -> Rule {
        match self.adamw {
            None => Rule::Sgd,
            Some((AdamVariant::Torch, ..)) => Rule::Torch,
            Some((AdamVariant::Hf, ..)) => Rule::Hf,
        }
    }

    /// AdamW without moments; `None` for SGD.
    pub(crate) fn adamw(&self) -> Option<AdamW<f64>> {
        let (variant, betas, eps) = self.adamw?;
        Some(AdamW { betas, eps, ..AdamW::new(self.group, variant) })
    }
}
