//! LoRA+ on the CPU: the reference.
//!
//! Hayou, Ghosh & Yu 2024, *LoRA+: Efficient Low Rank Adaptation of Large Models*, arXiv 2402.12354: LoRA with
//! η_B = λ η_A. In a wide layer no single rate suits both: one that A stands is too small for B.
//!
//! ```text
//! y = x Wᵀ + s · x̃ Aᵀ Bᵀ        A ← A − η g_A,  B ← B − λ η g_B
//! ```
//!
//! Run it: `cargo run -p lowrank-lora-plus --example lora-plus-quickstart`. Not here: LoRA's forward and backward (crate `lora`).

use std::sync::Arc;

use adapter::{Adapter, Bytes, Dropout, Ledger, Optimizer, Real, Result, tensors};
use lora::{Grads, Lora, Saved};
use ndarray::{ArcArray2, Array2, ArrayView2};

use crate::{Groups, Kind};

// ANCHOR: struct
/// LoRA, and the rule for the learning rates of its tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraPlus<T> {
    /// A, B and their scale.
    pub lora: Lora<T>,
    /// λ, and which tensors it applies to.
    pub groups: Groups,
}
// ANCHOR_END: struct

impl<T: Real> Adapter<T> for LoraPlus<T> {
    type Saved = Saved<T>;
    type Grads = Grads<T>;

    /// LoRA's.
    fn forward(
        &self,
        weight: ArrayView2<'_, T>,
        x: &ArcArray2<T>,
        dropout: Option<&Arc<Dropout>>,
    ) -> Result<(Array2<T>, Saved<T>)> {
        self.lora.forward(weight, x, dropout)
    }

    /// LoRA's.
    fn backward(
        &self,
        weight: ArrayView2<'_, T>,
        saved: &Saved<T>,
        grad_y: ArrayView2<'_, T>,
    ) -> Result<(Array2<T>, Grads<T>)> {
        self.lora.backward(weight, saved, grad_y)
    }

    // ANCHOR: step
    /// A and B follow their gradients, each at its own rate; W stays.
    fn step(
        &mut self,
        _weight: &mut Array2<T>,
        grads: &Grads<T>,
        optimizer: &mut dyn Optimizer<T>,
    ) -> Result<()> {
        let (groups, base) = (self.groups, optimizer.group());
        // η for A, λ η for B.
        tensors::update(self, grads, optimizer, |name, dimensions| {
            groups.of(name, dimensions, Kind::Linear, base)
        })
    }
    // ANCHOR_END: step

    /// ΔW = s B A.
    fn delta_weight(&self, weight: ArrayView2<'_, T>) -> Result<Array2<T>> {
        self.lora.delta_weight(weight)
    }
}

adapter::tensors!(LoraPlus { "lora_A" => lora.a, "lora_B" => lora.b });

impl<T> Bytes for LoraPlus<T> {
    fn count(&self, ledger: &mut Ledger) {
        self.lora.count(ledger);
    }
}
