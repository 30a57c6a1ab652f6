//! What the op `init` draws.

use crate::case::method::Method;
use crate::case::names::names;
use crate::error::{Result, wrong};

/// How many adapters are drawn, of which size, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InitParams {
    /// How A and B are drawn.
    pub scheme: InitScheme,
    /// r.
    pub rank: usize,
    /// in.
    pub inputs: usize,
    /// out.
    pub outputs: usize,
    /// How many adapters.
    pub samples: usize,
}

/// The initialisations of the papers and of PEFT. `ops/init.rs` has the distributions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitScheme {
    /// A uniform as Kaiming with a = √5, B zero: LoRA's default in code.
    #[default]
    KaimingUniformA5,
    /// A normal with σ = 1/r, B zero.
    Gaussian,
    /// A zero, B uniform as Kaiming with a = √5.
    KaimingUniformB,
    /// A zero, B standard normal.
    Embedding,
    /// VeRA's A and B uniform as Kaiming with a = 0.
    KaimingUniform,
    /// VeRA's A and B normal as Kaiming with a = 0.
    KaimingNormal,
}

names!(InitScheme, "initialisation", [Self::KaimingUniformA5 => "kaiming_uniform_a5", Self::Gaussian => "gaussian",
    Self::KaimingUniformB => "kaiming_uniform_b", Self::Embedding => "embedding",
    Self::KaimingUniform => "kaiming_uniform", Self::KaimingNormal => "kaiming_normal"]);

impl InitScheme {
    /// Those that a method has.
    fn of(method: Method) -> &'static [Self] {
        match method {
            Method::Vera => &[Self::KaimingUniform, Self::KaimingNormal],
            // A stays as it was drawn, so it cannot be zero.
            Method::LoraFa => &[Self::KaimingUniformA5, Self::Gaussian],
            // m is no draw: it is ‖W + s B A‖, row by row.
            Method::Lora | Method::DeltaLora | Method::LoraPlus | Method::Dora => {
                &[Self::KaimingUniformA5, Self::Gaussian, Self::KaimingUniformB, Self::Embedding]
            }
        }
    }

    /// Is a tensor drawn uniformly?
    pub(crate) fn is_uniform(self) -> bool {
        matches!(self, Self::KaimingUniformA5 | Self::KaimingUniformB | Self::KaimingUniform)
    }
}

impl InitParams {
    pub(super) fn new(
        method: Method,
        scheme: &str,
        rank: usize,
        [inputs, outputs]: [usize; 2],
        samples: usize,
    ) -> Result<Self> {
        let known = InitScheme::of(method);
        let Some(&scheme) = known.iter().find(|known| known.to_string() == scheme) else {
            let names: Vec<_> = known.iter().map(ToString::to_string).collect();
            let (last, others) = names.split_last().expect("every method has some");
            let others = others.join(", ");
            return Err(wrong(format!(
                "params.init is {scheme:?}: {method} knows {others} and {last}"
            )));
        };
        if [inputs, outputs, rank, samples].contains(&0) {
            return Err(wrong("params.in, out, rank and samples are at least 1"));
        }
        Ok(Self { scheme, rank, inputs, outputs, samples })
    }
}
