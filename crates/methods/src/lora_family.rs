//! What LoRA, LoRA-FA, LoRA+, Delta-LoRA and DoRA share: their options, how A and B start, and LoRA's folder. Which of them
//! made it is noted in the configuration, for the format has no place for it; PEFT ignores the note.

use std::collections::BTreeMap;
use std::path::Path;

use ::lora::{Init, Lora, Scaling};
use adapter::{Real, check_shape};
use llama::{Adapters, Changes, Config, Llama, Projection, Site};
use ndarray::Array2;
use peft::{LoraConfig, LoraFolder, MethodNote};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tensor_file::Staging;

use crate::place::{self, site_of};
use crate::{Base, Error, Field, Method, Needs, Options, Result, SiteNeeds, beside};

/// What all that is built on LoRA can be told.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraOptions {
    /// r.
    pub rank: usize,
    /// α.
    pub alpha: f64,
    /// What divides α.
    pub scaling: Scaling,
    /// The adapted projections.
    pub targets: Vec<Projection>,
    /// Dropout on the adapters' inputs.
    pub dropout: f64,
}

/// r = 8 and α = 16 on queries and values; no dropout.
impl Default for LoraOptions {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            scaling: Scaling::default(),
            targets: vec![Projection::Q, Projection::V],
            dropout: 0.0,
        }
    }
}

impl Options for LoraOptions {
    fn fields() -> Vec<Field<Self>> {
        vec![
            Field::new("rank", "r, the inner dimension of A and B", |o: &mut Self| &mut o.rank)
                .in_folder(),
            Field::new("alpha", "α, the numerator of the scale", |o: &mut Self| &mut o.alpha)
                .in_folder(),
            Field::new("scaling", "What divides α: r, or √r", |o: &mut Self| &mut o.scaling)
                .in_folder(),
            Field::new("targets", TARGETS, |o: &mut Self| &mut o.targets).in_folder(),
            Field::new("dropout", DROPOUT, |o: &mut Self| &mut o.dropout),
        ]
    }

    fn settle(&mut self, config: &Config) -> Result<()> {
        self.targets = config.holding(&self.targets)?;
        Ok(())
    }

    fn targets(&self) -> &[Projection] {
        &self.targets
    }

    fn dropout(&self) -> f64 {
        self.dropout
    }
}

impl LoraOptions {
    /// What a folder decides, from its configuration and the adapters in it.
    pub(crate) fn take<A>(&mut self, settings: &LoraConfig, adapters: &Adapters<A>) {
        self.rank = settings.r;
        self.alpha = settings.lora_alpha;
        self.scaling = if settings.use_rslora { Scaling::RsLora } else { Scaling::AlphaOverR };
        self.targets = place::targets(adapters);
    }

    /// A folder's configuration. Ranks and α are for `peft` to find from the modules: an adapter that was loaded may have
    /// several.
    pub(crate) fn config<T>(
        &self,
        model: &Llama<T>,
        sites: impl Iterator<Item = Site>,
        base: &Base,
    ) -> LoraConfig {
        LoraConfig {
            use_rslora: self.scaling == Scaling::RsLora,
            lora_dropout: self.dropout,
            target_modules: place::target_modules(&model.config, sites),
            base_model_name_or_path: base.name.clone(),
            task_type: Some("CAUSAL_LM".to_owned()),
            ..LoraConfig::default()
        }
    }
}

/// What `targets` means, of every method that has it.
pub const TARGETS: &str = "Projections to adapt, of q_proj k_proj v_proj o_proj gate_proj up_proj down_proj; or all-linear";
/// What `dropout` means, of every method that has it.
pub const DROPOUT: &str = "Dropout on the adapters' inputs";

/// A from LoRA's default start and B = 0 on every target; `make` builds the method's adapter on them.
///
/// # Errors
/// There is no target, an option makes no sense, or as `make`.
pub fn start<T: Real, A>(
    model: &Llama<T>,
    options: &LoraOptions,
    rng: &mut ChaCha8Rng,
    make: impl Fn(Site, Lora<T>) -> Result<A>,
) -> Result<Adapters<A>> {
    let LoraOptions { rank, alpha, scaling, .. } = *options;
    let loras = Adapters::on(&model.config, &options.targets, |_, shape| {
        Lora::init(shape, rank, alpha, scaling, Init::default(), rng)
    })?;
    loras.try_map(make)
}

/// What [`start`]'s adapters need: of each what LoRA needs, as `make` changes it for a weight \[out, in\].
pub fn needs(
    config: &Config,
    options: &LoraOptions,
    make: impl Fn([u64; 2], SiteNeeds) -> SiteNeeds,
) -> Needs {
    let rank = options.rank as u64;
    let site = |&target: &Projection| {
        let [outputs, inputs] = target.shape(config).map(|side| side as u64);
        let trained = rank * (outputs + inputs);
        let lora =
            SiteNeeds { trained, frozen: 0, kept_per_token: rank, kept: 0, keeps_input: true };
        (target, make([outputs, inputs], lora))
    };
    Needs { shared: 0, sites: options.targets.iter().map(site).collect() }
}

/// What a folder holds: A, B and scale of every projection, whoever made them; the configuration; and what else it changes.
pub type Loaded<T> = (Adapters<Lora<T>>, LoraConfig, Changes<T>);

/// A folder's adapters, to be trained further. One whose start was taken out of W (PiSSA, OLoRA) is refused: it would have to
/// be trained beside what was left of W.
///
/// # Errors
/// The folder is damaged, or does not fit the model.
pub fn load<T: Real>(config: &Config, folder: &Path) -> Result<Loaded<T>> {
    fit(config, folder, peft::read(folder)?)
}

/// A folder's adapters on the model whose matrices `weight` gives, by their names: see [`peft::read_on`].
///
/// # Errors
/// As [`load`], or those of `weight`.
pub fn load_on<T: Real>(
    config: &Config,
    folder: &Path,
    mut weight: impl FnMut(&str) -> llama::Result<Array2<f64>>,
) -> Result<Loaded<T>> {
    let read = peft::read_on(folder, |module| {
        let module = match module {
            beside::HEAD_MODULE => module.to_owned(),
            _ => {
                let (layer, projection) = site_of(config, module, folder)?;
                projection.module(layer)
            }
        };
        Ok::<_, Error>(weight(&format!("{module}.weight"))?)
    })?;
    fit(config, folder, read)
}

fn fit<T: Real>(config: &Config, folder: &Path, read: LoraFolder<T>) -> Result<Loaded<T>> {
    let LoraFolder { config: settings, mut modules, extras } = read;
    let changes = beside::changes(config, extras, modules.remove(beside::HEAD_MODULE))?;
    let mut sites: BTreeMap<Site, Lora<T>> = BTreeMap::new();
    for (module, lora) in modules {
        let site = site_of(config, &module, folder)?;
        check_shape(
            module,
            &lora.shape(),
            &site.1.shape(config),
            "[out, in] of the model's weight",
        )?;
        sites.insert(site, lora);
    }
    Ok((Adapters::at(config, sites)?, settings, changes))
}

/// The adapters of a folder that `method` starts from: a folder that another method made is refused.
///
/// # Errors
/// As [`load`], or another method made the folder.
pub fn load_for<T: Real>(
    method: Method,
    model: &Llama<T>,
    options: &mut LoraOptions,
    folder: &Path,
) -> Result<Adapters<Lora<T>>> {
    let (adapters, settings, changes) = load(&model.config, folder)?;
    beside::refuse_to_train(&changes, folder)?;
    if let Some(MethodNote { method: made_by, .. }) = &settings.lowrank_method
        && *made_by != method.name()
    {
        return Err(Error::File {
            path: folder.to_owned(),
            reason: format!(
                "{made_by} made this adapter, and the method is {method}: use that method, or delete \
                 lowrank_method from adapter_config.json to take it as plain LoRA"
            ),
        });
    }
    options.take(&settings, &adapters);
    Ok(adapters)
}

/// Write the adapters, with a note of the method's own settings unless it is plain LoRA.
///
/// # Errors
/// The disk is full or read-only.
pub fn stage<'a, T: Real>(
    model: &Llama<T>,
    method: Method,
    settings: impl IntoIterator<Item = (&'static str, Value)>,
    adapters: impl IntoIterator<Item = (Site, &'a Lora<T>)>,
    options: &LoraOptions,
    base: &Base,
    files: &mut Staging,
) -> Result<()> {
    let adapters: BTreeMap<Site, &Lora<T>> = adapters.into_iter().collect();
    let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let note = MethodNote { method: method.name().to_owned(), settings };
    let lowrank_method = (method != Method::Lora).then_some(note);
    let config = options.config(model, adapters.keys().copied(), base);
    let config = LoraConfig { lowrank_method, ..config };
    Ok(LoraFolder::new(config, by_module(adapters))?.stage(files)?)
}

/// Adapters by the names of their modules.
pub fn by_module<'a, A: Clone + 'a>(
    adapters: impl IntoIterator<Item = (Site, &'a A)>,
) -> BTreeMap<String, A> {
    let named =
        |((layer, projection), adapter): (Site, &A)| (projection.module(layer), adapter.clone());
    adapters.into_iter().map(named).collect()
}
