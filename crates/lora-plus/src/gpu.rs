//! LoRA+ on a GPU: LoRA, and a rate of its own for each tensor in the one launch that updates them all.

use adapter::Group;
use cuda::{AdamW, Device, Element, Result};
use lora::gpu::Grads;

pub use lora::gpu::Lora;

use crate::{Groups, Kind};

// ANCHOR: step
/// A and B of every layer follow their gradients, each at its own rate; W stays.
///
/// # Errors
/// A name occurs twice, gradients are another adapter's, or as [`AdamW::step`].
pub fn step<T: Element, D: Device>(
    layers: &mut [(&str, &mut Lora<T, D>, &Grads<T, D>)],
    groups: &Groups,
    optimizer: &mut AdamW<T, D>,
) -> Result<()> {
    let mut updates = Vec::new();
    for (name, lora, Grads { a, b }) in layers {
        updates.extend(lora.updates(name, Some(a), b)?);
    }
    for update in &mut updates {
        // η for A, λ η for B: as multiples of the optimiser's.
        let group = groups.of(&update.name, 2, Kind::Linear, Group { lr: 1.0, weight_decay: 1.0 });
        update.rate = group.lr;
        update.decays = group.weight_decay > 0.0;
    }
    optimizer.step(updates)
}
// ANCHOR_END: step
