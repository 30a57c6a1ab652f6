//! What the command line needs of a method, beside the [`Adapter`] trait: how it starts, and its files.

use std::collections::BTreeMap;
use std::path::Path;

use adapter::{Adapter, Full, Real};
use anyhow::{Context, Result, bail};
use llama::{Adapters, Config, Llama, Projection, Site, Train};
use lora::{Init, Lora, Scaling};
use peft::{LoraConfig, LoraFolder};
use rand_chacha::ChaCha8Rng;

/// The methods, by the names of `--method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Name {
    /// Low-rank adaptation: A and B are trained.
    Lora,
    /// Full fine-tuning: every number of the model is trained.
    Full,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Lora => "lora",
            Self::Full => "full",
        })
    }
}

/// The options of a low-rank method.
#[derive(Clone, Debug)]
pub struct Options {
    pub rank: usize,
    pub alpha: f64,
    pub scaling: Scaling,
    pub targets: Vec<Projection>,
    pub dropout: f64,
}

/// A method that can be fine-tuned with and written to disk.
pub trait Method<T: Real>: Adapter<T> + Sized {
    /// What is trained.
    const TRAIN: Train;

    /// Fresh adapters.
    fn fresh(config: &Config, options: &Options, rng: &mut ChaCha8Rng) -> Result<Adapters<Self>>;

    /// Adapters, and the options they were made with, from a folder that [`save`](Self::save) or PEFT wrote.
    fn load(config: &Config, folder: &Path) -> Result<(Adapters<Self>, Options)>;

    /// Write what was trained.
    fn save(
        model: &Llama<T>,
        adapters: &Adapters<Self>,
        options: &Options,
        base: Option<&str>,
        folder: &Path,
    ) -> Result<()>;
}

impl<T: Real> Method<T> for Lora<T> {
    const TRAIN: Train = Train::Adapters;

    fn fresh(config: &Config, options: &Options, rng: &mut ChaCha8Rng) -> Result<Adapters<Self>> {
        let Options { rank, alpha, scaling, .. } = *options;
        let init = |_, shape| Lora::init(shape, rank, alpha, scaling, Init::default(), rng);
        Ok(Adapters::on(config, &options.targets, init)?)
    }

    fn load(config: &Config, folder: &Path) -> Result<(Adapters<Self>, Options)> {
        let LoraFolder { config: settings, modules } = peft::read::<T>(folder)?;
        let mut sites: BTreeMap<Site, Self> = BTreeMap::new();
        for (module, adapter) in modules {
            let site = site(config, &module).with_context(|| {
                format!("{}: this model has no module {module}", folder.display())
            })?;
            let shape = [adapter.b.nrows(), adapter.a.ncols()];
            adapter::check_shape(
                module,
                &shape,
                &site.1.shape(config),
                "[out, in] of the model's weight",
            )
            .with_context(|| folder.display().to_string())?;
            sites.insert(site, adapter);
        }
        if sites.is_empty() {
            bail!("{}: the adapter is empty", folder.display());
        }
        let options = Options {
            rank: settings.r,
            alpha: settings.lora_alpha,
            scaling: if settings.use_rslora { Scaling::RsLora } else { Scaling::AlphaOverR },
            targets: Projection::ALL
                .into_iter()
                .filter(|target| sites.keys().any(|(_, projection)| projection == target))
                .collect(),
            dropout: settings.lora_dropout,
        };
        Ok((Adapters::at(config, sites)?, options))
    }

    fn save(
        _model: &Llama<T>,
        adapters: &Adapters<Self>,
        options: &Options,
        base: Option<&str>,
        folder: &Path,
    ) -> Result<()> {
        let config = LoraConfig {
            r: options.rank,
            lora_alpha: options.alpha,
            use_rslora: options.scaling == Scaling::RsLora,
            lora_dropout: options.dropout,
            target_modules: options.targets.iter().map(ToString::to_string).collect(),
            base_model_name_or_path: base.map(str::to_owned),
            task_type: Some("CAUSAL_LM".to_owned()),
            ..LoraConfig::default()
        };
        let module = |((layer, projection), adapter): (Site, &Self)| {
            (projection.module(layer), adapter.clone())
        };
        let modules = adapters.iter().map(module).collect();
        Ok(peft::write(folder, &LoraFolder { config, modules })?)
    }
}

impl<T: Real> Method<T> for Full {
    const TRAIN: Train = Train::Everything;

    fn fresh(config: &Config, _: &Options, _: &mut ChaCha8Rng) -> Result<Adapters<Self>> {
        let full =
            |_, [out, inputs]: [usize; 2]| Ok::<_, llama::Error>(Full { shape: (out, inputs) });
        Ok(Adapters::on(config, &Projection::ALL, full)?)
    }

    fn load(_: &Config, _: &Path) -> Result<(Adapters<Self>, Options)> {
        bail!("full fine-tuning has no adapter: give the folder to --model")
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
}

/// Where `model.layers.3.self_attn.q_proj` is.
fn site(config: &Config, module: &str) -> Option<Site> {
    let layers = 0..config.num_hidden_layers;
    layers
        .flat_map(|layer| Projection::ALL.map(|projection| (layer, projection)))
        .find(|(layer, projection)| projection.module(*layer) == module)
}
