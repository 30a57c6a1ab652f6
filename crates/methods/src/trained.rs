//! The adapters of a folder, to be used and not to be trained further.

use std::path::Path;

use ::lora::Lora;
use ::vera::Vera;
use adapter::Real;
use llama::{Adapters, Llama};
use peft::Kind;

use crate::{Error, Result, Tunable, lora_family, vera};

/// What ΔW is made of.
pub enum Trained<T> {
    /// s B A: LoRA, and what LoRA-FA, LoRA+ and Delta-LoRA leave behind.
    Lora(Adapters<Lora<T>>),
    /// Λ_b B Λ_d A.
    Vera(Adapters<Vera<T>>),
}

impl<T: Real> Trained<T> {
    /// From a folder that any of the methods, or PEFT, wrote.
    ///
    /// # Errors
    /// The folder is damaged, does not fit the model, or holds another kind of adapter.
    pub fn load(model: &Llama<T>, folder: &Path) -> Result<Self> {
        Ok(match peft::kind(folder)? {
            Kind::Lora => Self::Lora(lora_family::load(&model.config, folder)?.0),
            Kind::Dora => {
                let reason = "an adapter of DoRA, which is not used from a folder yet".to_owned();
                return Err(Error::File { path: folder.to_owned(), reason });
            }
            Kind::Vera => Self::Vera(Vera::load(model, &mut vera::VeraOptions::default(), folder)?),
        })
    }
}
