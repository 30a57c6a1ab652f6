//! Delta-LoRA: starts as LoRA does. W has moved when it ends, so there are two things to keep: what changed in all, as
//! an adapter of rank 2r for the initial weights, and what going on needs.

use std::collections::BTreeMap;
use std::path::Path;

use ::delta_lora::{DeltaLora, Settings};
use ::lora::{Lora, Scaling};
use adapter::{Real, check_shape};
use llama::state::Arrays;
use llama::{Adapters, Config, Llama, Projection, Site};
use ndarray::{Array2, ArrayD};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tensor_file::Staging;

use crate::lora_family::{self, LoraOptions};
use crate::{Base, Error, Field, Method, Needs, Options, Result, SiteNeeds, Tunable, place};

/// What Delta-LoRA can be told.
#[derive(Clone, Debug, PartialEq)]
pub struct DeltaLoraOptions {
    /// What LoRA can be told; there is no dropout.
    pub lora: LoraOptions,
    /// λ.
    pub lambda: f64,
    /// K: W moves from update K + 1 on.
    pub start_step: u64,
    /// s is left out of W's move.
    pub exclude_scale: bool,
}

impl Default for DeltaLoraOptions {
    fn default() -> Self {
        let Settings { lambda, start_step, include_scale } = Settings::default();
        let lora = LoraOptions::default();
        Self { lora, lambda, start_step, exclude_scale: !include_scale }
    }
}

impl DeltaLoraOptions {
    fn settings(&self) -> Settings {
        let Self { lambda, start_step, exclude_scale, .. } = *self;
        Settings { lambda, start_step, include_scale: !exclude_scale }
    }
}

impl Options for DeltaLoraOptions {
    fn fields() -> Vec<Field<Self>> {
        let lambda = "λ: W moves by λ s times what B A moved";
        let start =
            "K: W moves from update K + 1 on, by default a quarter of the steps but not above 500";
        let exclude = "Leave s out of W's move";
        let own = [
            Field::new("lambda", lambda, |o: &mut Self| &mut o.lambda),
            // Its default is that of the run's first length: a run that is made longer keeps it.
            Field::new("start-step", start, |o: &mut Self| &mut o.start_step).in_folder(),
            Field::new("exclude-scale", exclude, |o: &mut Self| &mut o.exclude_scale),
        ];
        let lora = LoraOptions::fields().into_iter().filter(|field| field.name != "dropout");
        lora.map(|field| field.within(|o: &mut Self| &mut o.lora)).chain(own).collect()
    }

    fn lacks(name: &str) -> Option<&'static str> {
        let why = "Delta-LoRA has no dropout, since it needs ∂L/∂W = ∂L/∂ΔW, which a mask on the adapter's input breaks";
        (name == "dropout").then_some(why)
    }

    fn settle(&mut self, config: &Config) -> Result<()> {
        self.lora.settle(config)
    }

    fn targets(&self) -> &[Projection] {
        &self.lora.targets
    }

    /// The paper's 500 would be never in a short run.
    fn of_run(steps: usize) -> Self {
        let default = Self::default();
        Self { start_step: default.start_step.min(steps as u64 / 4), ..default }
    }

    fn warnings(&self, steps: usize) -> Vec<String> {
        if self.start_step < steps as u64 {
            return Vec::new();
        }
        vec![format!(
            "start-step is {} and the run has {steps} steps: W never moves, this is LoRA",
            self.start_step
        )]
    }
}

impl<T: Real> Tunable<T> for DeltaLora<T> {
    const METHOD: Method = Method::DeltaLora;
    type Options = DeltaLoraOptions;

    fn start(
        model: &Llama<T>,
        options: &DeltaLoraOptions,
        rng: &mut ChaCha8Rng,
    ) -> Result<Adapters<Self>> {
        let new = |_, lora| Ok(Self::new(lora, options.settings())?);
        lora_family::start(model, &options.lora, rng, new)
    }

    /// A_K and B_K are held beside A and B.
    fn needs(config: &Config, options: &DeltaLoraOptions) -> Needs {
        let kept = |_, lora: SiteNeeds| SiteNeeds { frozen: lora.trained, ..lora };
        lora_family::needs(config, &options.lora, kept)
    }

    fn load(
        model: &Llama<T>,
        options: &mut DeltaLoraOptions,
        folder: &Path,
    ) -> Result<Adapters<Self>> {
        let (_, settings, _) = lora_family::load::<T>(&model.config, folder)?;
        if settings.lowrank_method.is_some_and(|note| note.method == Method::DeltaLora.name()) {
            return Err(Error::File {
                path: folder.to_owned(),
                reason: "it holds all that a run of delta-lora changed, W's moves included: go on with --resume, or \
                         delete lowrank_method from adapter_config.json to take it as plain LoRA of that rank"
                    .into(),
            });
        }
        let loras = lora_family::load_for(Method::DeltaLora, model, &mut options.lora, folder)?;
        loras.try_map(|_, lora| Ok(Self::new(lora, options.settings())?))
    }

    /// W_T + s B A − W₀ as an adapter of rank 2r with the scale 1: on the initial weights it is the trained model, for
    /// PEFT too.
    fn stage(
        model: &Llama<T>,
        adapters: &Adapters<Self>,
        options: &DeltaLoraOptions,
        base: &Base,
        files: &mut Staging,
    ) -> Result<()> {
        let total = |(site, adapter): (Site, &Self)| {
            let (a, b) = adapter.total()?;
            Ok((site, Lora::new(a, b, T::one())?))
        };
        let totals: Vec<_> = adapters.iter().map(total).collect::<Result<_>>()?;
        let totals = totals.iter().map(|(site, lora)| (*site, lora));
        let settings = [
            ("holds", json!("W_T + s B A - W_0, of rank 2r, for the initial weights")),
            ("rank", json!(options.lora.rank)),
            ("lambda", json!(options.lambda)),
            ("start_step", json!(options.start_step)),
            ("include_scale", json!(!options.exclude_scale)),
        ];
        let lora = LoraOptions { scaling: Scaling::AlphaOverR, ..options.lora.clone() };
        lora_family::stage(model, Method::DeltaLora, settings, totals, &lora, base, files)
    }

    /// W as it is now, to the last bit; A, B and their scale; A_K and B_K.
    fn state(model: &Llama<T>, adapters: &Adapters<Self>) -> Arrays<T> {
        let mut state = Arrays::new();
        for ((layer, projection), adapter) in adapters.iter() {
            let [start_a, start_b] = adapter.start().map(|start| start.to_owned());
            let Lora { a, b, scale } = adapter.lora.clone();
            let weight = model.layers[layer].weight(projection).clone();
            let scale = Array2::from_elem((1, 1), scale);
            let tensors = [weight, scale, a, b, start_a, start_b];
            for (name, tensor) in TENSORS.into_iter().zip(tensors) {
                state.insert(format!("{}.{name}", projection.module(layer)), tensor.into_dyn());
            }
        }
        state
    }

    fn resume(
        model: &mut Llama<T>,
        options: &mut DeltaLoraOptions,
        folder: &Path,
        step: usize,
        mut state: Arrays<T>,
    ) -> Result<Adapters<Self>> {
        let mut sites = BTreeMap::new();
        let config = model.config.clone();
        for site in config.sites() {
            let module = site.1.module(site.0);
            let tensors = TENSORS.map(|name| state.remove(&format!("{module}.{name}")));
            if tensors.iter().all(Option::is_none) {
                continue;
            }
            let matrix = |tensor: Option<ArrayD<T>>| -> Option<Array2<T>> {
                tensor?.into_dimensionality().ok()
            };
            let [Some(weight), Some(scale), Some(a), Some(b), Some(start_a), Some(start_b)] =
                tensors.map(matrix)
            else {
                return Err(damaged(folder, format!("{module} lacks one of {TENSORS:?}")));
            };
            let Some(&scale) = scale.first() else {
                return Err(damaged(folder, format!("{module}.scale is empty")));
            };
            let shape = site.1.shape(&model.config);
            check_shape(module, weight.shape(), &shape, "the shape of the model's weight")?;
            options.lora.rank = a.nrows();
            let lora = Lora::new(a, b, scale)?;
            let start = [start_a, start_b];
            let adapter = Self::resume(lora, options.settings(), step as u64, start)?;
            *model.layers[site.0].weight_mut(site.1) = weight;
            sites.insert(site, adapter);
        }
        if sites.is_empty() || !state.is_empty() {
            let reason = "its tensors are not those of delta-lora on this model".to_owned();
            return Err(damaged(folder, reason));
        }
        let adapters = Adapters::at(&model.config, sites)?;
        options.lora.targets = place::targets(&adapters);
        Ok(adapters)
    }
}

/// What is kept of each module, all as matrices; the scale is 1×1.
const TENSORS: [&str; 6] = ["weight", "scale", "lora_A", "lora_B", "start_A", "start_B"];

fn damaged(folder: &Path, reason: String) -> Error {
    Error::File { path: folder.join(llama::state::FILE), reason }
}
