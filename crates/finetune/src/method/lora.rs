//! LoRA: fresh adapters and PEFT's folder.

use std::path::Path;

use adapter::Real;
use llama::{Adapters, Config, Llama};
use lora::Lora;
use rand_chacha::ChaCha8Rng;

use super::lora_family;
use crate::{Method, Name, Options, Result};

impl<T: Real> Method<T> for Lora<T> {
    const NAME: Name = Name::Lora;

    fn fresh(config: &Config, options: &Options, rng: &mut ChaCha8Rng) -> Result<Adapters<Self>> {
        Ok(Adapters::on(config, &options.targets, |_, shape| {
            lora_family::fresh(shape, options, rng)
        })?)
    }

    fn load(config: &Config, options: &mut Options, folder: &Path) -> Result<Adapters<Self>> {
        lora_family::load_for(Name::Lora, config, options, folder)
    }

    fn save(
        _: &Llama<T>,
        adapters: &Adapters<Self>,
        options: &Options,
        base: Option<&str>,
        folder: &Path,
    ) -> Result<()> {
        lora_family::save(Name::Lora, [], adapters.iter(), options, base, folder)
    }
}
