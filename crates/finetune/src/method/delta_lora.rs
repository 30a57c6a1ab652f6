//! Delta-LoRA: starts as LoRA does. W has moved when it ends, so there are two things to keep: what changed in all, as
//! an adapter of rank 2r for the initial weights, and what going on needs.

use std::collections::BTreeMap;
use std::path::Path;

use adapter::{Real, check_shape};
use delta_lora::DeltaLora;
use llama::state::Arrays;
use llama::{Adapters, Config, Llama, Projection, Site};
use lora::{Lora, Scaling};
use ndarray::{Array2, ArrayD};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::lora_family;
use crate::{Error, Method, Name, Options, Result};

fn from_lora<T: Real>(lora: Lora<T>, options: &Options) -> Result<DeltaLora<T>> {
    if options.dropout != 0.0 {
        let reason = "Delta-LoRA has no dropout: it needs ∂L/∂W = ∂L/∂ΔW, which a mask on the adapter's input breaks";
        return Err(Error::Option(reason.into()));
    }
    Ok(DeltaLora::new(lora, options.delta)?)
}

impl<T: Real> Method<T> for DeltaLora<T> {
    const NAME: Name = Name::DeltaLora;

    fn fresh(config: &Config, options: &Options, rng: &mut ChaCha8Rng) -> Result<Adapters<Self>> {
        let loras = Adapters::on(config, &options.targets, |_, shape| {
            lora_family::fresh(shape, options, rng)
        })?;
        loras.try_map(|_, lora| from_lora(lora, options))
    }

    fn load(config: &Config, options: &mut Options, folder: &Path) -> Result<Adapters<Self>> {
        let (_, settings) = lora_family::load::<T>(config, folder)?;
        if settings.lowrank_method.is_some_and(|note| note.method == Name::DeltaLora.name()) {
            return Err(Error::File {
                path: folder.to_owned(),
                reason: "it holds all that a run of delta-lora changed, W's moves included: go on with --resume, or \
                         delete lowrank_method from adapter_config.json to take it as plain LoRA of that rank"
                    .into(),
            });
        }
        let loras = lora_family::load_for(Name::DeltaLora, config, options, folder)?;
        loras.try_map(|_, lora| from_lora(lora, options))
    }

    /// W_T + s B A − W₀ as an adapter of rank 2r with the scale 1: on the initial weights it is the trained model, for
    /// PEFT too.
    fn save(
        _: &Llama<T>,
        adapters: &Adapters<Self>,
        options: &Options,
        base: Option<&str>,
        folder: &Path,
    ) -> Result<()> {
        let total = |(site, adapter): (Site, &Self)| {
            let (a, b) = adapter.total();
            Ok((site, Lora::new(a, b, T::one())?))
        };
        let totals: Vec<_> = adapters.iter().map(total).collect::<Result<_>>()?;
        let totals = totals.iter().map(|(site, lora)| (*site, lora));
        let settings = [
            ("holds", json!("W_T + s B A - W_0, of rank 2r, for the initial weights")),
            ("rank", json!(options.rank)),
            ("lambda", json!(options.delta.lambda)),
            ("start_step", json!(options.delta.start_step)),
            ("include_scale", json!(options.delta.include_scale)),
        ];
        let options = Options { scaling: Scaling::AlphaOverR, ..options.clone() };
        lora_family::save(Name::DeltaLora, settings, totals, &options, base, folder)
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
        options: &mut Options,
        folder: &Path,
        step: usize,
        mut state: Arrays<T>,
    ) -> Result<Adapters<Self>> {
        let mut sites = BTreeMap::new();
        let layers = 0..model.config.num_hidden_layers;
        for site in layers.flat_map(|layer| Projection::ALL.map(|target| (layer, target))) {
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
            options.rank = a.nrows();
            let lora = Lora::new(a, b, scale)?;
            let adapter = Self::resume(lora, options.delta, step as u64, [start_a, start_b])?;
            *model.layers[site.0].weight_mut(site.1) = weight;
            sites.insert(site, adapter);
        }
        if sites.is_empty() || !state.is_empty() {
            let reason = "its tensors are not those of delta-lora on this model".to_owned();
            return Err(damaged(folder, reason));
        }
        let adapters = Adapters::at(&model.config, sites)?;
        options.targets = super::targets(&adapters);
        Ok(adapters)
    }
}

/// What is kept of each module, all as matrices; the scale is 1×1.
const TENSORS: [&str; 6] = ["weight", "scale", "lora_A", "lora_B", "start_A", "start_B"];

fn damaged(folder: &Path, reason: String) -> Error {
    Error::File { path: folder.join(llama::state::FILE), reason }
}
