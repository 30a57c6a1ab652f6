//! Hugging Face PEFT's adapter folders, read and written.
//!
//! A folder holds `adapter_config.json` and `adapter_model.safetensors`; keys are
//! `base_model.model.<module>.lora_A.weight` \[r, in\] and `.lora_B.weight` \[out, r\]. What PEFT knows and these
//! crates do not (DoRA, quantised bases, …) is refused by name. Checked against PEFT 0.21.
//!
//! - `config.rs`: the fields of `adapter_config.json`.
//! - `pattern.rs`: which rank, α and scale a module has.
//! - `folder.rs`: [`read()`] and [`write()`].
//! - `tensors.rs`: matrices in a safetensors file.
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
mod error;
mod folder;
mod pattern;
mod tensors;

pub use config::LoraConfig;
pub use error::{Error, Result};
pub use folder::{LoraFolder, read, write};
pub use pattern::Resolved;
