//! The methods, and which of their tensors move.

use serde::{Deserialize, Serialize};

use super::names::names;

/// The methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Method {
    Lora,
    LoraFa,
    Vera,
    DeltaLora,
    LoraPlus,
    Dora,
}

names!(Method, "method", [Self::Lora => "lora", Self::LoraFa => "lora-fa", Self::Vera => "vera",
    Self::DeltaLora => "delta-lora", Self::LoraPlus => "lora-plus", Self::Dora => "dora"]);

impl Method {
    /// All of them.
    pub(crate) const ALL: &[Self] =
        &[Self::Lora, Self::LoraFa, Self::Vera, Self::DeltaLora, Self::LoraPlus, Self::Dora];

    /// The tensors that are trained, by their names in a file.
    pub(crate) fn trained(self) -> &'static [&'static str] {
        match self {
            Self::Lora | Self::DeltaLora | Self::LoraPlus => &["lora_A", "lora_B"],
            Self::LoraFa => &["lora_B"],
            Self::Vera => &["vera_lambda_b", "vera_lambda_d"],
            Self::Dora => &["lora_A", "lora_B", "lora_magnitude_vector"],
        }
    }

    /// What an update changes: the trained tensors, and W where the method moves it.
    pub(crate) fn state(self) -> Vec<&'static str> {
        let mut names = self.trained().to_vec();
        if self == Self::DeltaLora {
            names.push("weight");
        }
        names
    }
}
