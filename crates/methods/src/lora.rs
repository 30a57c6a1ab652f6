//! LoRA: PEFT's default start and its folder.

use std::path::Path;

use ::lora::Lora;
use adapter::Real;
use llama::{Adapters, Llama};
use rand_chacha::ChaCha8Rng;

use crate::lora_family::{self, LoraOptions};
use crate::{Method, Result, Tunable};

impl<T: Real> Tunable<T> for Lora<T> {
    const METHOD: Method = Method::Lora;
    type Options = LoraOptions;

    fn start(
        model: &Llama<T>,
        options: &LoraOptions,
        rng: &mut ChaCha8Rng,
    ) -> Result<Adapters<Self>> {
        lora_family::start(model, options, rng, |_, lora| Ok(lora))
    }

    fn load(model: &Llama<T>, options: &mut LoraOptions, folder: &Path) -> Result<Adapters<Self>> {
        lora_family::load_for(Method::Lora, model, options, folder)
    }

    fn save(
        _: &Llama<T>,
        adapters: &Adapters<Self>,
        options: &LoraOptions,
        base: Option<&str>,
        folder: &Path,
    ) -> Result<()> {
        lora_family::save(Method::Lora, [], adapters.iter(), options, base, folder)
    }
}
