//! The methods by name, and what each can be told.

use std::fmt;
use std::str::FromStr;

use adapter::{Full, Real};
use delta_lora::{DeltaLora, Settings};
use llama::Projection;
use lora::{Lora, Scaling};
use lora_fa::{LoraFa, Variant};
use lora_plus::LoraPlus;
use vera::{Sharing, Vera};

use crate::{Error, Method};

/// The methods, in the order they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Full fine-tuning: every number of the model is trained.
    Full,
    /// LoRA: A and B are trained.
    Lora,
    /// LoRA-FA: B is trained.
    LoraFa,
    /// VeRA: two vectors are trained; A and B are random and shared.
    Vera,
    /// Delta-LoRA: A and B are trained, and W follows their product.
    DeltaLora,
    /// LoRA+: A and B are trained, B faster.
    LoraPlus,
}

impl Name {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Full, Self::Lora, Self::LoraFa, Self::Vera, Self::DeltaLora, Self::LoraPlus];

    /// As files and the command line have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Lora => "lora",
            Self::LoraFa => "lora-fa",
            Self::Vera => "vera",
            Self::DeltaLora => "delta-lora",
            Self::LoraPlus => "lora-plus",
        }
    }

    /// Do `job` with the type of this method.
    pub fn dispatch<T: Real, J: Job<T>>(self, job: J) -> J::Output {
        match self {
            Self::Full => job.run::<Full>(),
            Self::Lora => job.run::<Lora<T>>(),
            Self::LoraFa => job.run::<LoraFa<T>>(),
            Self::Vera => job.run::<Vera<T>>(),
            Self::DeltaLora => job.run::<DeltaLora<T>>(),
            Self::LoraPlus => job.run::<LoraPlus<T>>(),
        }
    }
}

/// Something that can be done with any method.
pub trait Job<T: Real> {
    /// What comes of it.
    type Output;
    /// Do it with the method `M`.
    fn run<M: Method<T>>(self) -> Self::Output;
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Name {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|method| method.name() == name).ok_or_else(|| {
            let all = Self::ALL.map(Self::name).join(", ");
            Error::Option(format!("unknown method {name:?}: there are {all}"))
        })
    }
}

/// What methods can be told. Each reads the fields that are its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// r. All but full fine-tuning.
    pub rank: usize,
    /// α. All but full fine-tuning and VeRA.
    pub alpha: f64,
    /// What divides α.
    pub scaling: Scaling,
    /// The adapted projections. Full fine-tuning trains all.
    pub targets: Vec<Projection>,
    /// Dropout on the adapters' inputs. Not full fine-tuning, not Delta-LoRA.
    pub dropout: f64,
    /// LoRA-FA.
    pub variant: Variant,
    /// LoRA+: λ = η_B/η_A.
    pub lr_ratio: f64,
    /// Delta-LoRA.
    pub delta: Settings,
    /// VeRA: what d starts with.
    pub d_init: f64,
    /// VeRA: which layers share A and B.
    pub sharing: Sharing,
    /// VeRA: PEFT's `projection_prng_key`, from which A and B are drawn.
    pub projection_key: u64,
    /// VeRA: write A and B too, and not their key alone.
    pub save_projections: bool,
}

impl Options {
    /// r = 8 and α = 16 on queries and values, r = 256 for VeRA, as PEFT has it; no dropout; the papers' or PEFT's
    /// defaults for the rest.
    pub fn of(method: Name) -> Self {
        Self {
            rank: if method == Name::Vera { 256 } else { 8 },
            alpha: 16.0,
            scaling: Scaling::default(),
            targets: vec![Projection::Q, Projection::V],
            dropout: 0.0,
            variant: Variant::default(),
            lr_ratio: 16.0,
            delta: Settings::default(),
            d_init: 0.1,
            sharing: Sharing::default(),
            projection_key: 0,
            save_projections: false,
        }
    }
}
