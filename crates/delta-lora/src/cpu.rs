//! Delta-LoRA on the CPU: the reference.
//!
//! Zi et al. 2023, *Delta-LoRA: Fine-Tuning High-Rank Parameters with the Delta of Low-Rank Matrices*, arXiv 2309.02411.
//! LoRA, and after each update t > K the weight moves too:
//!
//! ```text
//! y = x Wᵀ + s · x Aᵀ Bᵀ        W ← W + λ s (B⁺A⁺ − B A)
//! ```
//!
//! The paper writes A B for row vectors, we write B A. Run it: `cargo run -p lowrank-delta-lora --example delta-lora-quickstart`. Not here:
//! LoRA's forward and backward (crate `lora`), and what the moves of W come to over a run (`moves.rs`).

use std::sync::Arc;

use adapter::{Adapter, Bytes, Dropout, Error, Ledger, Optimizer, Real, Result, check_shape};
use lora::{Grads, Lora, Saved};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArcArray2, Array2, ArrayView2};

/// When and how far W moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// λ. The paper is reported to use 2.
    pub lambda: f64,
    /// K: W moves from update number K + 1 on. The paper is reported to use 500.
    pub start_step: u64,
    /// Is s a factor of W's move, as in the paper, or is it λ alone?
    pub include_scale: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { lambda: 2.0, start_step: 500, include_scale: true }
    }
}

// ANCHOR: struct
/// LoRA, and what it takes to move W and to undo it.
#[derive(Clone, Debug, PartialEq)]
pub struct DeltaLora<T> {
    /// A, B and their scale.
    pub lora: Lora<T>,
    settings: Settings,
    /// t, the updates so far.
    updates: u64,
    /// A_K and B_K, from where W moves. Nothing of meaning before.
    pub(crate) start: [Array2<T>; 2],
}
// ANCHOR_END: struct

impl<T: Real> DeltaLora<T> {
    /// A fresh adapter.
    ///
    /// # Errors
    /// λ is not finite or negative.
    pub fn new(lora: Lora<T>, settings: Settings) -> Result<Self> {
        let start = [lora.a.clone(), lora.b.clone()];
        Self::resume(lora, settings, 0, start)
    }

    /// An adapter in the middle of a run: its A and B after `updates` updates, and its [`start`](Self::start).
    ///
    /// # Errors
    /// λ is not finite or negative, or A_K or B_K has another shape than A or B.
    pub fn resume(
        lora: Lora<T>,
        settings: Settings,
        updates: u64,
        start: [Array2<T>; 2],
    ) -> Result<Self> {
        if !(settings.lambda >= 0.0 && settings.lambda.is_finite()) {
            return Err(Error::value(
                "lambda",
                settings.lambda,
                "it must be finite and not negative",
            ));
        }
        check_shape("A_K", start[0].shape(), lora.a.shape(), "the shape of A")?;
        check_shape("B_K", start[1].shape(), lora.b.shape(), "the shape of B")?;
        Ok(Self { lora, settings, updates, start })
    }

    /// When and how far W moves.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// t, the updates so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// A_K and B_K, what W's moves count from; without meaning while t ≤ K. A checkpoint of a run holds them, A, B, t, and
    /// the W that moved.
    pub fn start(&self) -> [ArrayView2<'_, T>; 2] {
        self.start.each_ref().map(|matrix| matrix.view())
    }

    /// λ s, or λ.
    pub(crate) fn factor(&self) -> T {
        let lambda = T::from_f64(self.settings.lambda);
        if self.settings.include_scale { lambda * self.lora.scale } else { lambda }
    }

    /// W rests as long as t ≤ K.
    pub(crate) fn has_moved(&self) -> bool {
        self.updates > self.settings.start_step
    }
}

impl<T: Real> Adapter<T> for DeltaLora<T> {
    type Saved = Saved<T>;
    type Grads = Grads<T>;

    // ANCHOR: forward
    /// LoRA's, without dropout: W follows ΔW = s B A because both have the same gradient, ∂L/∂W = ∂L/∂ΔW.
    fn forward(
        &self,
        weight: ArrayView2<'_, T>,
        x: &ArcArray2<T>,
        dropout: Option<&Arc<Dropout>>,
    ) -> Result<(Array2<T>, Saved<T>)> {
        if dropout.is_some() {
            let hint = "Delta-LoRA needs ∂L/∂W = ∂L/∂ΔW, and a mask on the adapter's input breaks it: \
                        train without";
            return Err(Error::value("dropout", "a mask", hint));
        }
        self.lora.forward(weight, x, None)
    }
    // ANCHOR_END: forward

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
    /// A and B follow their gradients, then W follows B A.
    fn step(
        &mut self,
        weight: &mut Array2<T>,
        grads: &Grads<T>,
        optimizer: &mut dyn Optimizer<T>,
    ) -> Result<()> {
        check_shape("weight", weight.shape(), &self.lora.shape(), "[out, in] of the adapter")?;
        self.lora.check(weight.view())?;
        let (a, b) = (self.lora.a.clone(), self.lora.b.clone());
        self.lora.step(weight, grads, optimizer)?;
        self.updates += 1;
        if self.has_moved() {
            // W ← W + λ s (B⁺A⁺ − B A): [out, r]·[r, in] twice
            let factor = self.factor();
            general_mat_mul(factor, &self.lora.b, &self.lora.a, T::one(), weight);
            general_mat_mul(-factor, &b, &a, T::one(), weight);
            if self.updates == self.settings.start_step + 1 {
                self.start = [a, b];
            }
        }
        Ok(())
    }
    // ANCHOR_END: step

    /// s B A: what merging adds to the present W, which has moved. [`total`](DeltaLora::total) is the change from W₀.
    fn delta_weight(&self, weight: ArrayView2<'_, T>) -> Result<Array2<T>> {
        self.lora.delta_weight(weight)
    }
}

adapter::tensors!(DeltaLora { "lora_A" => lora.a, "lora_B" => lora.b });

impl<T> Bytes for DeltaLora<T> {
    fn count(&self, ledger: &mut Ledger) {
        self.lora.count(ledger);
        self.start.iter().for_each(|start| ledger.owned(start));
    }
}
