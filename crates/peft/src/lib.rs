//! Hugging Face PEFT's adapter folders, read and written.
//!
//! A folder holds `adapter_config.json` and `adapter_model.safetensors`. Of LoRA: `base_model.model.<module>.lora_A.weight`
//! \[r, in\] and `.lora_B.weight` \[out, r\]; of DoRA also `.lora_magnitude_vector` \[out\]. Of VeRA: `base_model.model.<module>.vera_lambda_b` \[out\] and
//! `.vera_lambda_d` \[r\], and for all modules `base_model.vera_A` \[r, largest in\] and `base_model.vera_B`
//! \[largest out, r\], or only the seed they are drawn from. What PEFT knows and these crates do not (quantised
//! bases, …) is refused by name. Checked against PEFT 0.21.
//!
//! - `lora_folder.rs`: [`read()`], [`write()`] and [`write_as()`]; `dora_folder.rs`: [`read_dora`] and [`write_dora`]; `vera_folder.rs` and
//!   `vera_read.rs`: [`write_vera`] and [`read_vera`].
//! - `lora_config.rs`, `vera_config.rs`: the fields of `adapter_config.json`.
//! - `lora_pattern.rs`: which rank, α and scale a module has.
//! - `note.rs`: which of our methods made a LoRA folder.
//! - `start.rs`: [`read_on`] of PiSSA and OLoRA, which need the model's weights.
//! - `extras.rs`: what a folder holds beside adapters of linear layers.
//! - `config.rs`, `folder.rs`, `keys.rs`, `tensors.rs`: what all kinds share: fields, files, names of tensors, tensors. The
//!   crate `tensor_file` reads and writes the files.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use lora::Lora;
//! use ndarray::array;
//! use peft::{LoraConfig, LoraFolder};
//!
//! let q_proj = Lora::new(array![[1.0, 0.0, 2.0]], array![[3.0], [4.0]], 0.5)?;
//! let modules = BTreeMap::from([("layers.0.q_proj".to_owned(), q_proj)]);
//! let adapter = LoraFolder::<f64>::new(LoraConfig::default(), modules)?; // finds r = 1 and α = 0.5
//!
//! let folder = tempfile::tempdir()?;
//! peft::write(folder.path(), &adapter)?;
//! assert_eq!(peft::read(folder.path())?.modules, adapter.modules);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod dora_folder;
mod error;
mod extras;
mod folder;
mod keys;
mod lora_config;
mod lora_folder;
mod lora_pattern;
mod note;
mod start;
mod tensors;
mod vera_config;
mod vera_folder;
mod vera_read;

pub use config::Kind;
pub use dora_folder::{DoraFolder, read_dora, write_dora};
pub use error::{Cause, Error, Result};
pub use extras::Extras;
pub use folder::{FILES, kind, storage_dtype};
pub use lora_config::{Bias, LoraConfig};
pub use lora_folder::{LoraFolder, read, read_on, write, write_as};
pub use lora_pattern::Resolved;
pub use note::MethodNote;
pub use tensor_file::StorageDtype;
pub use vera_config::VeraConfig;
pub use vera_folder::{VeraFolder, write_vera};
pub use vera_read::read_vera;
