//! The adapters of a folder, to be used and not to be trained further.

use std::path::Path;

use ::dora::Dora;
use ::lora::Lora;
use ::vera::Vera;
use adapter::{Adapter, Real};
use llama::{Adapters, Changes, Config};
use ndarray::Array2;
use peft::Kind;

use crate::{Result, lora_family, vera};

/// A folder's adapters, and what else of the model it changes.
pub struct Trained<T> {
    /// Those of the projections.
    pub adapters: OfKind<T>,
    /// What `modules_to_save`, `bias`, and adapters of the embedding and the output matrix change: see
    /// [`Llama::change`](llama::Llama::change) and [`Opened::change`](llama::load::Opened::change).
    pub changes: Changes<T>,
}

/// What ΔW is made of.
pub enum OfKind<T> {
    /// s B A: LoRA, and what LoRA-FA, LoRA+ and Delta-LoRA leave behind.
    Lora(Adapters<Lora<T>>),
    /// m/‖W + s B A‖ ⊙ (W + s B A) − W.
    Dora(Adapters<Dora<T>>),
    /// Λ_b B Λ_d A.
    Vera(Adapters<Vera<T>>),
}

impl<T: Real> Trained<T> {
    /// From a folder that any of the methods, or PEFT, wrote. `weight` gives a matrix of the model by its name
    /// ([`Llama::matrix`](llama::Llama::matrix), [`Opened::matrix`](llama::load::Opened::matrix)): it is asked for those that an
    /// adapter's start was taken out of.
    ///
    /// # Errors
    /// The folder is damaged, does not fit the model, or holds another kind of adapter; or those of `weight`.
    pub fn load(
        config: &Config,
        folder: &Path,
        weight: impl FnMut(&str) -> llama::Result<Array2<f64>>,
    ) -> Result<Self> {
        Ok(match peft::kind(folder)? {
            Kind::Lora => {
                let (adapters, _, changes) = lora_family::load_on(config, folder, weight)?;
                Self { adapters: OfKind::Lora(adapters), changes }
            }
            Kind::Dora => {
                let (adapters, _, changes) = crate::dora::load(config, folder)?;
                Self { adapters: OfKind::Dora(adapters), changes }
            }
            Kind::Vera => {
                let adapters = vera::load(config, &mut vera::VeraOptions::default(), folder)?;
                Self { adapters: OfKind::Vera(adapters), changes: Changes::default() }
            }
        })
    }
}

impl<T: Real> OfKind<T> {
    /// Does what `user` does with the adapters.
    pub fn visit<U: AdapterUser<T>>(&self, user: U) -> U::Output {
        match self {
            Self::Lora(adapters) => user.with(adapters),
            Self::Dora(adapters) => user.with(adapters),
            Self::Vera(adapters) => user.with(adapters),
        }
    }
}

/// Something that can be done with trained adapters, whatever their kind.
pub trait AdapterUser<T: Real> {
    /// What comes of it.
    type Output;
    /// Do it with adapters of the kind `A`.
    fn with<A: Adapter<T>>(self, adapters: &Adapters<A>) -> Self::Output;
}
