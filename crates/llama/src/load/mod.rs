//! Models from disk or from the hub: Hugging Face folders and GGUF files.
//!
//! Every reader checks what a file claims against its size before it allocates, and reads one tensor at a time: the
//! memory needed is that of the model and a small buffer.

mod dequantise;
mod gguf;
mod hf;
#[cfg(feature = "hub")]
mod hub;

mod opened;

use std::path::{Path, PathBuf};

use adapter::Real;

pub use self::dequantise::{Blocks, block_types};
pub use self::opened::Opened;
use crate::error::bad;
use crate::{Checkpoint, Result};

/// Load a model: a Hugging Face folder, a `.safetensors` file with its `config.json` beside it, a `.gguf` file or a folder with
/// one model in that format and nothing else to load, or a hub id `owner/name`. What exists on disk goes before the hub.
///
/// # Errors
/// There is no such file; it is cut off or inconsistent; or it needs what this decoder does not have, which is named.
pub fn load<T: Real>(source: impl AsRef<Path>) -> Result<Checkpoint<T>> {
    open(source)?.load()
}

/// Open a model without reading its numbers: see [`load`].
///
/// # Errors
/// As [`load`].
pub fn open(source: impl AsRef<Path>) -> Result<Opened> {
    let source = source.as_ref();
    let path = if source.exists() { source.to_owned() } else { fetch(source)? };
    Opened::open(&gguf::only_one_in(&path).unwrap_or(path))
}

/// The folder with the files of a hub id.
fn fetch(source: &Path) -> Result<PathBuf> {
    let hub_id = source.to_str().filter(|text| is_hub_id(text));
    match hub_id {
        #[cfg(feature = "hub")]
        Some(id) => hub::fetch(id),
        #[cfg(not(feature = "hub"))]
        Some(_) => Err(bad(
            source,
            "no such folder, and this program was built without its `hub` feature: download the model's folder and \
             give its path",
        )),
        None => Err(bad(source, "no such file or folder, and not a hub id (owner/name)")),
    }
}

/// Is it `owner/name`?
fn is_hub_id(text: &str) -> bool {
    let part = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !part.is_empty() && !part.starts_with('.') && part.chars().all(plain)
    };
    text.split_once('/').is_some_and(|(owner, name)| {
        part(owner) && part(name) && !name.ends_with(".gguf") && !name.ends_with(".safetensors")
    })
}

fn check_shape(path: &Path, name: &str, got: &[usize], want: &[usize]) -> Result<()> {
    if got == want {
        return Ok(());
    }
    Err(bad(path, format!("{name} has shape {got:?} where the configuration asks for {want:?}")))
}
