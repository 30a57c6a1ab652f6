//! What a run needs of a method beside the [`Adapter`] trait: how it starts, and its files.

mod delta_lora;
mod full;
mod lora;
mod lora_fa;
mod lora_family;
mod lora_plus;
mod vera;

use std::path::Path;

use ::vera::Vera;
use adapter::{Adapter, Real};
use llama::state::Arrays;
use llama::{Adapters, Config, Llama, Projection, Site, Train};
use peft::Kind;
use rand_chacha::ChaCha8Rng;

use crate::{Error, Name, Options, Result};

/// A method that can be fine-tuned with, and written to disk.
pub trait Method<T: Real>: Adapter<T> + Sized {
    /// Which one.
    const NAME: Name;
    /// What is trained.
    const TRAIN: Train = Train::Adapters;

    /// Fresh adapters.
    ///
    /// # Errors
    /// An option has a value that the method cannot take.
    fn fresh(config: &Config, options: &Options, rng: &mut ChaCha8Rng) -> Result<Adapters<Self>>;

    /// Adapters to start from, out of a folder of PEFT's format. Rank, α, scaling and targets (of VeRA: rank, key,
    /// sharing and targets) are the folder's and replace those in `options`.
    ///
    /// # Errors
    /// The folder is damaged, or does not fit the model, or another method made it.
    fn load(config: &Config, options: &mut Options, folder: &Path) -> Result<Adapters<Self>>;

    /// Write what was trained. `base` is the model's path or hub id.
    ///
    /// # Errors
    /// The disk is full or read-only.
    fn save(
        model: &Llama<T>,
        adapters: &Adapters<Self>,
        options: &Options,
        base: Option<&str>,
        folder: &Path,
    ) -> Result<()>;

    /// What going on needs beside the folder and the optimiser's moments.
    fn state(_model: &Llama<T>, _adapters: &Adapters<Self>) -> Arrays<T> {
        Arrays::new()
    }

    /// The adapters of the interrupted run that wrote `folder`, and in `model` what it had changed there. `state` is
    /// what [`state`](Self::state) gave then, `step` the updates made.
    ///
    /// # Errors
    /// As [`load`](Self::load), or `state` lacks a tensor.
    fn resume(
        model: &mut Llama<T>,
        options: &mut Options,
        folder: &Path,
        _step: usize,
        _state: Arrays<T>,
    ) -> Result<Adapters<Self>> {
        Self::load(&model.config, options, folder)
    }
}

/// The adapters in a folder, to be used and not to be trained further.
pub enum Trained<T> {
    /// W + s B A: LoRA, and what LoRA-FA, LoRA+ and Delta-LoRA leave behind.
    Lora(Adapters<::lora::Lora<T>>),
    /// W + Λ_b B Λ_d A.
    Vera(Adapters<Vera<T>>),
}

impl<T: Real> Trained<T> {
    /// From a folder that any of the methods, or PEFT, wrote.
    ///
    /// # Errors
    /// The folder is damaged, does not fit the model, or holds another kind of adapter.
    pub fn load(config: &Config, folder: &Path) -> Result<Self> {
        Ok(match peft::kind(folder)? {
            Kind::Lora => Self::Lora(lora_family::load(config, folder)?.0),
            Kind::Vera => {
                let mut options = Options::of(Name::Vera);
                Self::Vera(Vera::load(config, &mut options, folder)?)
            }
        })
    }
}

/// Where `model.layers.3.self_attn.q_proj` is.
fn site(config: &Config, module: &str) -> Option<Site> {
    let layers = 0..config.num_hidden_layers;
    layers
        .flat_map(|layer| Projection::ALL.map(|projection| (layer, projection)))
        .find(|(layer, projection)| projection.module(*layer) == module)
}

/// The site of a module of an adapter's folder.
fn site_of(config: &Config, module: &str, folder: &Path) -> Result<Site> {
    site(config, module).ok_or_else(|| Error::File {
        path: folder.to_owned(),
        reason: format!("this model has no module {module}: was the adapter made for another one?"),
    })
}

/// The projections that carry an adapter.
fn targets<A>(adapters: &Adapters<A>) -> Vec<Projection> {
    let has =
        |target: &Projection| adapters.iter().any(|((_, projection), _)| projection == *target);
    Projection::ALL.into_iter().filter(has).collect()
}
