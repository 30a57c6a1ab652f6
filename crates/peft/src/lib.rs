//! Hugging Face PEFT's adapter folders, read and written.
//!
//! A folder holds `adapter_config.json` and `adapter_model.safetensors`; keys are
//! `base_model.model.<module>.lora_A.weight` \[r, in\] and `.lora_B.weight` \[out, r\]. What PEFT knows and these
//! crates do not (DoRA, quantised bases, …) is refused by name.

mod config;
mod error;
mod folder;

pub use config::{LoraConfig, Resolved};
pub use error::{Error, Result};
pub use folder::{LoraFolder, read, write};
