//! Full fine-tuning: nothing but the model.

use std::path::Path;

use adapter::{Full, Real};
use llama::state::Arrays;
use llama::{Adapters, Config, Llama, Train};
use rand_chacha::ChaCha8Rng;
use tensor_file::{Staging, StorageDtype};

use crate::{Base, Error, Field, Method, Needs, Options, Result, SiteNeeds, Tunable};

/// There is nothing to tell it: everything is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FullOptions;

impl Options for FullOptions {
    fn fields() -> Vec<Field<Self>> {
        Vec::new()
    }

    fn lacks(name: &str) -> Option<&'static str> {
        let why = "dropout acts on an adapter's input, and full fine-tuning has no adapter";
        (name == "dropout").then_some(why)
    }
}

impl<T: Real> Tunable<T> for Full {
    const METHOD: Method = Method::Full;
    const TRAIN: Train = Train::Everything;
    type Options = FullOptions;

    fn start(model: &Llama<T>, _: &FullOptions, _: &mut ChaCha8Rng) -> Result<Adapters<Self>> {
        Ok(Adapters::full(&model.config))
    }

    /// No adapter holds anything, and each projection's input is kept.
    fn needs(config: &Config, _: &FullOptions) -> Needs {
        let site = SiteNeeds { keeps_input: true, ..SiteNeeds::default() };
        let sites = config.projections().iter().map(|projection| (*projection, site));
        Needs { shared: 0, sites: sites.collect() }
    }

    fn load(_: &Llama<T>, _: &mut FullOptions, _: &Path) -> Result<Adapters<Self>> {
        let reason = "full fine-tuning has no adapter to start from: give the folder to --model";
        Err(Error::Option(reason.into()))
    }

    fn stage(
        model: &Llama<T>,
        _: &Adapters<Self>,
        _: &FullOptions,
        base: &Base,
        files: &mut Staging,
    ) -> Result<()> {
        Ok(llama::save::stage(model, StorageDtype::of::<T>()?, &base.files, files)?)
    }

    fn resume(
        model: &mut Llama<T>,
        _: &mut FullOptions,
        folder: &Path,
        _: usize,
        _: Arrays<T>,
    ) -> Result<Adapters<Self>> {
        *model = llama::load::load::<T>(folder)?.model;
        Ok(Adapters::full(&model.config))
    }
}
