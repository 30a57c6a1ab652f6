//! VeRA: one pair of projections for all layers, drawn as PEFT draws it, and PEFT's folder.

use std::collections::BTreeMap;
use std::path::Path;

use adapter::Real;
use llama::{Adapters, Config, Llama, Site};
use peft::{VeraConfig, VeraFolder};
use rand_chacha::ChaCha8Rng;
use vera::{Pool, Projections, Sharing, Vera};

use super::{site, site_of};
use crate::{Method, Name, Options, Result};

impl<T: Real> Method<T> for Vera<T> {
    const NAME: Name = Name::Vera;

    /// A and B come from the key and not from `rng`, so that the folder can do without them.
    fn fresh(config: &Config, options: &Options, _: &mut ChaCha8Rng) -> Result<Adapters<Self>> {
        let shapes = options.targets.iter().map(|target| target.shape(config));
        // Of several pairs each has a key of its own: from one key, those of equal `in` would have the same A.
        let mut keys = options.projection_key..;
        let draw = |shape| Projections::peft(keys.next().unwrap_or(0), options.rank, shape);
        let pool = Pool::new(shapes, options.sharing, draw)?;
        let new = |_, shape| Self::init(shape, options.d_init, pool.get(shape)?);
        Ok(Adapters::on(config, &options.targets, new)?)
    }

    fn load(config: &Config, options: &mut Options, folder: &Path) -> Result<Adapters<Self>> {
        let shape = |module: &str| site(config, module).map(|(_, target)| target.shape(config));
        let VeraFolder { config: settings, modules } = peft::read_vera(folder, shape)?;
        let mut sites: BTreeMap<Site, Self> = BTreeMap::new();
        for (module, vera) in modules {
            sites.insert(site_of(config, &module, folder)?, vera);
        }
        let adapters = Adapters::at(config, sites)?;
        options.rank = settings.r;
        options.d_init = settings.d_initial;
        options.sharing = settings.sharing;
        options.projection_key = settings.projection_prng_key;
        options.save_projections |= settings.save_projection;
        options.targets = super::targets(&adapters);
        Ok(adapters)
    }

    fn save(
        _: &Llama<T>,
        adapters: &Adapters<Self>,
        options: &Options,
        base: Option<&str>,
        folder: &Path,
    ) -> Result<()> {
        let config = VeraConfig {
            r: options.rank,
            d_initial: options.d_init,
            projection_prng_key: options.projection_key,
            // PEFT draws one pair for all layers, so of several pairs the key is not enough.
            save_projection: options.save_projections || options.sharing == Sharing::PerShape,
            sharing: options.sharing,
            vera_dropout: options.dropout,
            target_modules: options.targets.iter().map(ToString::to_string).collect(),
            base_model_name_or_path: base.map(str::to_owned),
            task_type: Some("CAUSAL_LM".to_owned()),
            ..VeraConfig::default()
        };
        let module =
            |((layer, projection), vera): (Site, &Self)| (projection.module(layer), vera.clone());
        let modules = adapters.iter().map(module).collect();
        Ok(peft::write_vera(folder, &VeraFolder { config, modules })?)
    }
}
