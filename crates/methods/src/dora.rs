//! DoRA: starts as LoRA does, with the lengths of W's rows, and leaves PEFT's DoRA folder.

use std::collections::BTreeMap;
use std::path::Path;

use ::dora::Dora;
use adapter::{Real, check_shape};
use llama::{Adapters, Changes, Config, Llama, Site};
use peft::{DoraFolder, LoraConfig};
use rand_chacha::ChaCha8Rng;
use tensor_file::Staging;

use crate::lora_family::{self, LoraOptions};
use crate::place::site_of;
use crate::{Base, Error, Method, Needs, Result, SiteNeeds, Tunable, beside};

impl<T: Real> Tunable<T> for Dora<T> {
    const METHOD: Method = Method::Dora;
    type Options = LoraOptions;

    fn start(
        model: &Llama<T>,
        options: &LoraOptions,
        rng: &mut ChaCha8Rng,
    ) -> Result<Adapters<Self>> {
        lora_family::start(model, options, rng, |(layer, projection), lora| {
            let weight = model.layers[layer].weight(projection);
            Ok(Self::init(weight.view(), lora)?)
        })
    }

    /// Beside what LoRA needs, m \[out\] is trained, and u \[tokens, out\] and ‖V‖ \[out\] are kept.
    fn needs(config: &Config, options: &LoraOptions) -> Needs {
        lora_family::needs(config, options, |[outputs, _], lora| SiteNeeds {
            trained: lora.trained + outputs,
            kept_per_token: lora.kept_per_token + outputs,
            kept: outputs,
            ..lora
        })
    }

    fn load(model: &Llama<T>, options: &mut LoraOptions, folder: &Path) -> Result<Adapters<Self>> {
        let (adapters, settings, changes) = load(&model.config, folder)?;
        beside::refuse_to_train(&changes, folder)?;
        options.take(&settings, &adapters);
        Ok(adapters)
    }

    fn stage(
        model: &Llama<T>,
        adapters: &Adapters<Self>,
        options: &LoraOptions,
        base: &Base,
        files: &mut Staging,
    ) -> Result<()> {
        let modules = lora_family::by_module(adapters.iter());
        let config = options.config(model, adapters.iter().map(|(site, _)| site), base);
        Ok(DoraFolder::new(config, modules)?.stage(files)?)
    }
}

/// The adapters of a folder, its configuration, and what else it changes.
///
/// # Errors
/// The folder is damaged, or does not fit the model.
pub fn load<T: Real>(
    config: &Config,
    folder: &Path,
) -> Result<(Adapters<Dora<T>>, LoraConfig, Changes<T>)> {
    let DoraFolder { config: settings, modules, extras } = peft::read_dora::<T>(folder)?;
    if modules.contains_key(beside::HEAD_MODULE) {
        let reason = "DoRA of lm_head is not supported: merge this adapter with PEFT".to_owned();
        return Err(Error::File { path: folder.to_owned(), reason });
    }
    let changes = beside::changes(config, extras, None)?;
    let mut sites: BTreeMap<Site, Dora<T>> = BTreeMap::new();
    for (module, dora) in modules {
        let site = site_of(config, &module, folder)?;
        let (got, want) = (dora.lora.shape(), site.1.shape(config));
        check_shape(module, &got, &want, "[out, in] of the model's weight")?;
        sites.insert(site, dora);
    }
    Ok((Adapters::at(config, sites)?, settings, changes))
}
