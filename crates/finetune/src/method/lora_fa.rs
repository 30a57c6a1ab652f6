//! LoRA-FA: starts as LoRA does, and leaves LoRA's folder.

use std::path::Path;

use adapter::Real;
use llama::{Adapters, Config, Llama};
use lora::Lora;
use lora_fa::{LoraFa, Variant};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::lora_family;
use crate::{Method, Name, Options, Result};

fn from_lora<T: Real>(lora: Lora<T>, options: &Options) -> adapter::Result<LoraFa<T>> {
    LoraFa::new(lora.a, lora.b, lora.scale, options.variant)
}

impl<T: Real> Method<T> for LoraFa<T> {
    const NAME: Name = Name::LoraFa;

    fn fresh(config: &Config, options: &Options, rng: &mut ChaCha8Rng) -> Result<Adapters<Self>> {
        let new = |_, shape| from_lora(lora_family::fresh(shape, options, rng)?, options);
        Ok(Adapters::on(config, &options.targets, new)?)
    }

    fn load(config: &Config, options: &mut Options, folder: &Path) -> Result<Adapters<Self>> {
        let adapters = lora_family::load_for(Name::LoraFa, config, options, folder)?;
        Ok(adapters.try_map(|_, lora| from_lora(lora, options))?)
    }

    fn save(
        _: &Llama<T>,
        adapters: &Adapters<Self>,
        options: &Options,
        base: Option<&str>,
        folder: &Path,
    ) -> Result<()> {
        let variant = match options.variant {
            Variant::Plain => "plain",
            Variant::Projected => "projected",
        };
        let adapters = adapters.iter().map(|(site, adapter)| (site, adapter.lora()));
        let settings = [("variant", json!(variant))];
        lora_family::save(Name::LoraFa, settings, adapters, options, base, folder)
    }
}
