//! LoRA: PEFT's default start and its folder.

use std::path::Path;

use ::lora::Lora;
use adapter::Real;
use llama::{Adapters, Config, Llama};
use rand_chacha::ChaCha8Rng;
use tensor_file::Staging;

use crate::lora_family::{self, LoraOptions};
use crate::{Base, Method, Needs, Result, Tunable};

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

    fn needs(config: &Config, options: &LoraOptions) -> Needs {
        lora_family::needs(config, options, |_, lora| lora)
    }

    fn load(model: &Llama<T>, options: &mut LoraOptions, folder: &Path) -> Result<Adapters<Self>> {
        lora_family::load_for(Method::Lora, model, options, folder)
    }

    fn stage(
        model: &Llama<T>,
        adapters: &Adapters<Self>,
        options: &LoraOptions,
        base: &Base,
        files: &mut Staging,
    ) -> Result<()> {
        lora_family::stage(model, Method::Lora, [], adapters.iter(), options, base, files)
    }
}
