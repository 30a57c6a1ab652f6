//! What LoRA, LoRA-FA, LoRA+ and Delta-LoRA share: how A and B start, and LoRA's folder. Which of them made it is noted
//! in the configuration, for the format has no place for it; PEFT ignores the note.

use std::collections::BTreeMap;
use std::path::Path;

use adapter::{Real, check_shape};
use llama::{Adapters, Config, Site};
use lora::{Init, Lora, Scaling};
use peft::{LoraConfig, LoraFolder, MethodNote};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::site_of;
use crate::{Error, Name, Options, Result};

/// A from the default start, B = 0: what LoRA and all that is built on it begin with.
pub fn fresh<T: Real>(
    shape: [usize; 2],
    options: &Options,
    rng: &mut ChaCha8Rng,
) -> adapter::Result<Lora<T>> {
    let Options { rank, alpha, scaling, .. } = *options;
    Lora::init(shape, rank, alpha, scaling, Init::default(), rng)
}

/// A, B and scale of every module, whoever made them, and the configuration.
pub fn load<T: Real>(config: &Config, folder: &Path) -> Result<(Adapters<Lora<T>>, LoraConfig)> {
    let LoraFolder { config: settings, modules } = peft::read::<T>(folder)?;
    let mut sites: BTreeMap<Site, Lora<T>> = BTreeMap::new();
    for (module, lora) in modules {
        let site = site_of(config, &module, folder)?;
        let (got, want) = ([lora.b.nrows(), lora.a.ncols()], site.1.shape(config));
        check_shape(module, &got, &want, "[out, in] of the model's weight")?;
        sites.insert(site, lora);
    }
    Ok((Adapters::at(config, sites)?, settings))
}

/// The same for `method` to start from: a folder of another method is refused.
pub fn load_for<T: Real>(
    method: Name,
    config: &Config,
    options: &mut Options,
    folder: &Path,
) -> Result<Adapters<Lora<T>>> {
    let (adapters, settings) = load(config, folder)?;
    if let Some(MethodNote { method: made_by, .. }) = settings.lowrank_method
        && made_by != method.name()
    {
        return Err(Error::File {
            path: folder.to_owned(),
            reason: format!(
                "{made_by} made this adapter, and the method is {method}: use that method, or delete \
                 lowrank_method from adapter_config.json to take it as plain LoRA"
            ),
        });
    }
    options.rank = settings.r;
    options.alpha = settings.lora_alpha;
    options.scaling = if settings.use_rslora { Scaling::RsLora } else { Scaling::AlphaOverR };
    options.targets = super::targets(&adapters);
    Ok(adapters)
}

/// Write the adapters, with a note of the method's own settings unless it is plain LoRA.
pub fn save<'a, T: Real>(
    method: Name,
    settings: impl IntoIterator<Item = (&'static str, Value)>,
    adapters: impl IntoIterator<Item = (Site, &'a Lora<T>)>,
    options: &Options,
    base: Option<&str>,
    folder: &Path,
) -> Result<()> {
    let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let note = MethodNote { method: method.name().to_owned(), settings };
    let config = LoraConfig {
        use_rslora: options.scaling == Scaling::RsLora,
        lora_dropout: options.dropout,
        target_modules: options.targets.iter().map(ToString::to_string).collect(),
        base_model_name_or_path: base.map(str::to_owned),
        task_type: Some("CAUSAL_LM".to_owned()),
        lowrank_method: (method != Name::Lora).then_some(note),
        ..LoraConfig::default()
    };
    let module =
        |((layer, projection), lora): (Site, &Lora<T>)| (projection.module(layer), lora.clone());
    let modules = adapters.into_iter().map(module).collect();
    // Ranks and α are found from the modules: an adapter that was loaded may have several.
    Ok(peft::write(folder, &LoraFolder::new(config, modules)?)?)
}
