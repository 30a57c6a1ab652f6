//! The rows of a comparison.

use std::fmt;
use std::str::FromStr;

use lora_fa::Variant;

use crate::{Error, Name, Options, Plan};

/// A method with its variant: one row of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// Full fine-tuning.
    Full,
    /// LoRA.
    Lora,
    /// LoRA-FA along ∂L/∂B.
    LoraFaPlain,
    /// LoRA-FA along the projected gradient.
    LoraFaProjected,
    /// VeRA.
    Vera,
    /// Delta-LoRA.
    DeltaLora,
    /// LoRA+.
    LoraPlus,
}

impl Contender {
    /// All, in the order they are shown.
    pub const ALL: [Self; 7] = [
        Self::Full,
        Self::Lora,
        Self::LoraFaPlain,
        Self::LoraFaProjected,
        Self::Vera,
        Self::DeltaLora,
        Self::LoraPlus,
    ];

    /// The one that a method with these options is.
    pub fn of(method: Name, variant: Variant) -> Self {
        match (method, variant) {
            (Name::Full, _) => Self::Full,
            (Name::Lora, _) => Self::Lora,
            (Name::LoraFa, Variant::Plain) => Self::LoraFaPlain,
            (Name::LoraFa, Variant::Projected) => Self::LoraFaProjected,
            (Name::Vera, _) => Self::Vera,
            (Name::DeltaLora, _) => Self::DeltaLora,
            (Name::LoraPlus, _) => Self::LoraPlus,
        }
    }

    /// Its method.
    pub fn method(self) -> Name {
        match self {
            Self::Full => Name::Full,
            Self::Lora => Name::Lora,
            Self::LoraFaPlain | Self::LoraFaProjected => Name::LoraFa,
            Self::Vera => Name::Vera,
            Self::DeltaLora => Name::DeltaLora,
            Self::LoraPlus => Name::LoraPlus,
        }
    }

    /// As files and the command line have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::LoraFaPlain => "lora-fa-plain",
            Self::LoraFaProjected => "lora-fa-projected",
            other => other.method().name(),
        }
    }

    /// As tables and figures have it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Lora => "LoRA",
            Self::LoraFaPlain => "LoRA-FA",
            Self::LoraFaProjected => "LoRA-FA, projected",
            Self::Vera => "VeRA",
            Self::DeltaLora => "Delta-LoRA",
            Self::LoraPlus => "LoRA+",
        }
    }

    /// The same run as `terms` with this method: rank, α, targets, length and batches are those of `terms`.
    ///
    /// Three settings are the method's own. VeRA has the rank of [`Options::of`], for its rank costs next to nothing.
    /// Delta-LoRA's W moves after a quarter of the steps: the paper's 500 would be never in a short run. LoRA-FA has its
    /// variant.
    pub fn plan(self, terms: &Plan, lr: f64, seed: u64) -> Plan {
        let method = self.method();
        let mut options = terms.options.clone();
        match self {
            Self::LoraFaPlain => options.variant = Variant::Plain,
            Self::LoraFaProjected => options.variant = Variant::Projected,
            Self::Vera => options.rank = Options::of(method).rank,
            Self::DeltaLora => options.delta.start_step = terms.steps as u64 / 4,
            Self::Full | Self::Lora | Self::LoraPlus => {}
        }
        Plan { method, options, lr, seed, ..terms.clone() }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Contender {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|contender| contender.name() == name).ok_or_else(|| {
            let all = Self::ALL.map(Self::name).join(", ");
            Error::Option(format!("unknown method {name:?}: there are {all}"))
        })
    }
}
