//! Full fine-tuning: nothing but the model.

use std::path::Path;

use adapter::{Full, Real};
use llama::state::Arrays;
use llama::{Adapters, Config, Llama, Train};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::{Error, Method, Name, Options, Result};

impl<T: Real> Method<T> for Full {
    const NAME: Name = Name::Full;
    const TRAIN: Train = Train::Everything;

    fn fresh(config: &Config, _: &Options, _: &mut ChaCha8Rng) -> Result<Adapters<Self>> {
        Ok(Adapters::full(config))
    }

    fn load(_: &Config, _: &mut Options, _: &Path) -> Result<Adapters<Self>> {
        let reason = "full fine-tuning has no adapter to start from: give the folder to --model";
        Err(Error::Option(reason.into()))
    }

    fn save(
        model: &Llama<T>,
        _: &Adapters<Self>,
        _: &Options,
        _: Option<&str>,
        folder: &Path,
    ) -> Result<()> {
        Ok(llama::save::save(model, folder)?)
    }

    fn resume(
        model: &mut Llama<T>,
        options: &mut Options,
        folder: &Path,
        _: usize,
        _: Arrays<T>,
    ) -> Result<Adapters<Self>> {
        *model = llama::load::load::<T>(folder)?.model;
        <Self as Method<T>>::fresh(&model.config, options, &mut ChaCha8Rng::from_seed([0; 32]))
    }
}
