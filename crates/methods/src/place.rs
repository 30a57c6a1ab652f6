//! Modules of a folder and sites of the model.

use std::collections::BTreeSet;
use std::path::Path;

use llama::{Adapters, Config, Projection, Site};

use crate::{Error, Result};

/// Where `model.layers.3.self_attn.q_proj` is; without the `model.`, if the adapter was made for the decoder alone.
pub fn site(config: &Config, module: &str) -> Option<Site> {
    config.sites().find(|(layer, projection)| {
        let name = projection.module(*layer);
        name == module || name.strip_prefix("model.") == Some(module)
    })
}

/// The site of a module of an adapter's folder.
pub fn site_of(config: &Config, module: &str, folder: &Path) -> Result<Site> {
    site(config, module).ok_or_else(|| Error::File {
        path: folder.to_owned(),
        reason: format!("this model has no module {module}: was the adapter made for another one?"),
    })
}

/// The projections that carry an adapter.
pub fn targets<A>(adapters: &Adapters<A>) -> Vec<Projection> {
    let has: BTreeSet<Projection> =
        adapters.iter().map(|((_, projection), _)| projection).collect();
    has.into_iter().collect()
}

/// `target_modules` of a folder with adapters at `sites`: the names of the projections where all layers carry them, else
/// nothing, which stands for exactly the folder's modules. Read by its names alone, a folder with the second of two
/// layers would get an adapter in the first one too.
pub fn target_modules(config: &Config, sites: impl Iterator<Item = Site>) -> Vec<String> {
    let sites: BTreeSet<Site> = sites.collect();
    let targets: BTreeSet<Projection> = sites.iter().map(|(_, projection)| *projection).collect();
    if sites.len() < targets.len() * config.num_hidden_layers {
        return Vec::new();
    }
    targets.iter().map(ToString::to_string).collect()
}
