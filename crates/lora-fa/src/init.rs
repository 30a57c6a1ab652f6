//! How A, B and the scale start: as in LoRA, but A must not be 0.

use adapter::{Error, Real, Result};
use lora::{Init, Lora, Scaling};
use rand::Rng;

use crate::{LoraFa, Variant};

impl<T: Real> LoraFa<T> {
    /// A fresh adapter for a weight of shape `[outputs, inputs]`: LoRA's, [`Lora::init`], with A frozen.
    ///
    /// # Errors
    /// Those of [`Lora::init`] and [`LoraFa::new`], and an `init` that starts A at 0: frozen there, nothing could be
    /// learnt.
    pub fn init(
        shape: [usize; 2],
        rank: usize,
        alpha: f64,
        scaling: Scaling,
        init: Init,
        variant: Variant,
        rng: &mut impl Rng,
    ) -> Result<Self> {
        if matches!(init, Init::KaimingUniformB | Init::Embedding) {
            let hint = "it starts A at 0, where LoRA-FA freezes it: choose one that draws A";
            return Err(Error::value("init", format!("{init:?}"), hint));
        }
        let lora = Lora::init(shape, rank, alpha, scaling, init, rng)?;
        Self::new(lora.a, lora.b, lora.scale, variant)
    }
}
