//! LoRA+: starts as LoRA does, and leaves LoRA's folder.

use std::path::Path;

use ::lora::Lora;
use ::lora_plus::{Groups, LoraPlus};
use adapter::Real;
use llama::{Adapters, Config, Llama, Projection};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tensor_file::Staging;

use crate::lora_family::{self, LoraOptions};
use crate::{Base, Field, Method, Needs, Options, Result, Tunable};

/// What LoRA+ can be told.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraPlusOptions {
    /// What LoRA can be told.
    pub lora: LoraOptions,
    /// λ = η_B/η_A.
    pub lr_ratio: f64,
}

/// PEFT suggests a ratio of 16.
impl Default for LoraPlusOptions {
    fn default() -> Self {
        Self { lora: LoraOptions::default(), lr_ratio: 16.0 }
    }
}

impl Options for LoraPlusOptions {
    fn fields() -> Vec<Field<Self>> {
        let help = "λ: B's learning rate over A's";
        let own = Field::new("lr-ratio", help, |o: &mut Self| &mut o.lr_ratio);
        let lora = LoraOptions::fields().into_iter();
        lora.map(|field| field.within(|o: &mut Self| &mut o.lora)).chain([own]).collect()
    }

    fn settle(&mut self, config: &Config) -> Result<()> {
        self.lora.settle(config)
    }

    fn targets(&self) -> &[Projection] {
        &self.lora.targets
    }

    fn dropout(&self) -> f64 {
        self.lora.dropout
    }

    fn warnings(&self, _: usize) -> Vec<String> {
        if self.lr_ratio >= 1.0 {
            return Vec::new();
        }
        vec![format!(
            "lr-ratio is {}: LoRA+ is about B learning faster than A, a ratio above 1",
            self.lr_ratio
        )]
    }
}

fn from_lora<T: Real>(lora: Lora<T>, options: &LoraPlusOptions) -> Result<LoraPlus<T>> {
    Ok(LoraPlus { lora, groups: Groups::new(options.lr_ratio)? })
}

impl<T: Real> Tunable<T> for LoraPlus<T> {
    const METHOD: Method = Method::LoraPlus;
    type Options = LoraPlusOptions;

    fn start(
        model: &Llama<T>,
        options: &LoraPlusOptions,
        rng: &mut ChaCha8Rng,
    ) -> Result<Adapters<Self>> {
        lora_family::start(model, &options.lora, rng, |_, lora| from_lora(lora, options))
    }

    fn needs(config: &Config, options: &LoraPlusOptions) -> Needs {
        lora_family::needs(config, &options.lora, |_, lora| lora)
    }

    fn load(
        model: &Llama<T>,
        options: &mut LoraPlusOptions,
        folder: &Path,
    ) -> Result<Adapters<Self>> {
        let loras = lora_family::load_for(Method::LoraPlus, model, &mut options.lora, folder)?;
        loras.try_map(|_, lora| from_lora(lora, options))
    }

    fn stage(
        model: &Llama<T>,
        adapters: &Adapters<Self>,
        options: &LoraPlusOptions,
        base: &Base,
        files: &mut Staging,
    ) -> Result<()> {
        let loras = adapters.iter().map(|(site, adapter)| (site, &adapter.lora));
        let settings = [("lr_ratio", json!(options.lr_ratio))];
        lora_family::stage(model, Method::LoraPlus, settings, loras, &options.lora, base, files)
    }
}
