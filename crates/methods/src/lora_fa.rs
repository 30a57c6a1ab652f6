//! LoRA-FA: starts as LoRA does, and leaves LoRA's folder.

use std::path::Path;

use ::lora::Lora;
use ::lora_fa::{LoraFa, Variant};
use adapter::Real;
use llama::{Adapters, Config, Llama, Projection};
use rand_chacha::ChaCha8Rng;
use tensor_file::Staging;

use crate::lora_family::{self, LoraOptions};
use crate::{Base, Field, Method, Needs, Options, Result, Row, Setting, SiteNeeds, Tunable};

/// What LoRA-FA can be told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoraFaOptions {
    /// What LoRA can be told.
    pub lora: LoraOptions,
    /// Which gradient B follows.
    pub variant: Variant,
}

impl Options for LoraFaOptions {
    fn fields() -> Vec<Field<Self>> {
        let help = "B follows its gradient, or the projected one";
        let own = Field::new("variant", help, |o: &mut Self| &mut o.variant);
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
}

fn freeze<T: Real>(lora: Lora<T>, options: &LoraFaOptions) -> Result<LoraFa<T>> {
    Ok(LoraFa::new(lora.a, lora.b, lora.scale, options.variant)?)
}

impl<T: Real> Tunable<T> for LoraFa<T> {
    const METHOD: Method = Method::LoraFa;
    type Options = LoraFaOptions;

    /// Each variant.
    fn rows() -> Vec<Row> {
        let plain = Row::of(Method::LoraFa);
        let projected = [("variant", "projected")].as_slice();
        vec![
            Row { name: "lora-fa-plain", options: &[("variant", "plain")], ..plain },
            Row {
                name: "lora-fa-projected",
                label: "LoRA-FA, projected",
                options: projected,
                ..plain
            },
        ]
    }

    fn start(
        model: &Llama<T>,
        options: &LoraFaOptions,
        rng: &mut ChaCha8Rng,
    ) -> Result<Adapters<Self>> {
        lora_family::start(model, &options.lora, rng, |_, lora| freeze(lora, options))
    }

    /// B is trained, A is not; the projected gradient needs the factor of A Aᵀ, \[r, r\].
    fn needs(config: &Config, options: &LoraFaOptions) -> Needs {
        let rank = options.lora.rank as u64;
        let factor = if options.variant == Variant::Projected { rank * rank } else { 0 };
        lora_family::needs(config, &options.lora, |[outputs, inputs], lora| SiteNeeds {
            trained: rank * outputs,
            frozen: rank * inputs + factor,
            keeps_input: false,
            ..lora
        })
    }

    fn load(
        model: &Llama<T>,
        options: &mut LoraFaOptions,
        folder: &Path,
    ) -> Result<Adapters<Self>> {
        let loras = lora_family::load_for(Method::LoraFa, model, &mut options.lora, folder)?;
        loras.try_map(|_, lora| freeze(lora, options))
    }

    fn stage(
        model: &Llama<T>,
        adapters: &Adapters<Self>,
        options: &LoraFaOptions,
        base: &Base,
        files: &mut Staging,
    ) -> Result<()> {
        let loras = adapters.iter().map(|(site, adapter)| (site, adapter.lora()));
        let settings = [("variant", options.variant.show())];
        lora_family::stage(model, Method::LoraFa, settings, loras, &options.lora, base, files)
    }
}
