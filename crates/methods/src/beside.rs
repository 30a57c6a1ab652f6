//! What a folder changes beside the projections: biases, norms, the embedding and the output matrix.

use std::path::Path;

use ::lora::Lora;
use adapter::Real;
use llama::{Change, Changes, Config};
use peft::Extras;

use crate::{Error, Result};

/// The module of the output matrix.
pub const HEAD_MODULE: &str = "lm_head";
const HEAD: &str = "lm_head.weight";
const EMBEDDING: &str = "model.embed_tokens.weight";

/// The changes that `extras` and the LoRA of the output matrix are.
///
/// # Errors
/// This model lacks a tensor, or has it in another shape.
pub fn changes<T: Real>(
    config: &Config,
    extras: Extras<T>,
    head: Option<Lora<T>>,
) -> Result<Changes<T>> {
    let Extras { replaced, base, embeddings, biases } = extras;
    let mut changes = Changes::default();
    // In a model that ties them, the one matrix that PEFT saved is what both begin with.
    let both = config.tie_word_embeddings && base.len() == 1;
    for (name, matrix) in base {
        if both {
            let other = if full(&name) == EMBEDDING { HEAD } else { EMBEDDING };
            changes.push(other, Change::Replace(matrix.clone()));
        }
        changes.push(full(&name), Change::Replace(matrix));
    }
    for (name, tensor) in replaced {
        changes.push(full(&name), Change::Replace(tensor));
    }
    for (module, bias) in biases {
        changes.push(full(&format!("{module}.bias")), Change::Add(bias.into_dyn()));
    }
    let heads = head.map(|lora| (HEAD_MODULE.to_owned(), lora));
    for (module, Lora { a, b, scale }) in embeddings.into_iter().chain(heads) {
        changes.push(full(&format!("{module}.weight")), Change::AddProduct(b * scale, a));
    }
    changes.check(config)?;
    Ok(changes)
}

/// A tensor as the model calls it: an adapter of the decoder alone lacks the `model.`.
fn full(name: &str) -> String {
    let inside = ["embed_tokens.", "layers.", "norm."].iter().any(|start| name.starts_with(start));
    if inside { format!("model.{name}") } else { name.to_owned() }
}

/// Training goes on with the adapters of the projections alone.
///
/// # Errors
/// There is more.
pub fn refuse_to_train<T>(changes: &Changes<T>, folder: &Path) -> Result<()> {
    let Some(name) = changes.names().next() else { return Ok(()) };
    Err(Error::File {
        path: folder.to_owned(),
        reason: format!(
            "this adapter changes {name} too, which is not trained here: `lowrank merge` it into its model, and start from \
             the result"
        ),
    })
}
