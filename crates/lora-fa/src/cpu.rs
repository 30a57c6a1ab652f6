//! LoRA-FA on the CPU: the reference.
//!
//! Zhang et al. 2023, *LoRA-FA: Memory-efficient Low-rank Adaptation for Large Language Models Fine-tuning*, arXiv
//! 2308.03303: LoRA whose A stays as it was drawn. Only B is trained, so backward needs x̃ Aᵀ and not x.
//!
//! ```text
//! y = x Wᵀ + s · x̃ Aᵀ Bᵀ        x̃ = dropout(x),  s = α/r,  A frozen
//! ```
//!
//! Run it: `cargo run -p lowrank-lora-fa --example lora-fa-quickstart`. Not here: what is LoRA's (crate `lora`), how A is drawn
//! (`init.rs`) and how the projected gradient is solved for (`cholesky.rs`).

use std::sync::Arc;

use adapter::{Adapter, Bytes, Dropout, Error, Ledger, Optimizer, Real, Result};
use adapter::{check_shape, tensors};
use lora::Lora;
use ndarray::{ArcArray2, Array2, ArrayView2};

use crate::Cholesky;

/// Which gradient B follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Variant {
    /// ∂L/∂B, as in version 1 of the paper and in LoRA.
    #[default]
    Plain,
    /// (1/s²) ∂L/∂B (A Aᵀ)⁻¹, as in version 2 and in PEFT: the change of B that moves s B A most nearly along the full
    /// gradient ∂L/∂W.
    Projected,
}

// ANCHOR: struct
/// LoRA whose A is frozen.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraFa<T> {
    /// A, B and their scale; private, since A is frozen and `gram` is made from it.
    lora: Lora<T>,
    /// The factor of A Aᵀ, for [`Variant::Projected`].
    gram: Option<Cholesky<T>>,
}
// ANCHOR_END: struct

/// What [`LoraFa::forward`](Adapter::forward) keeps: h = x̃ Aᵀ \[tokens, r\] and the mask. Not x.
#[derive(Debug)]
pub struct Saved<T> {
    h: Array2<T>,
    dropout: Option<Arc<Dropout>>,
}

/// ∂L/∂B.
#[derive(Clone, Debug, PartialEq)]
pub struct Grads<T> {
    /// \[out, r\].
    pub b: Array2<T>,
}

impl<T: Real> LoraFa<T> {
    /// A, which is frozen, and B, whose shapes fit together, and a scale.
    ///
    /// # Errors
    /// Those of [`Lora::new`]. Of the projected variant also: the scale is 0, or the rows of A are not linearly
    /// independent.
    pub fn new(a: Array2<T>, b: Array2<T>, scale: T, variant: Variant) -> Result<Self> {
        let lora = Lora::new(a, b, scale)?;
        let gram = match variant {
            Variant::Plain => None,
            Variant::Projected if scale == T::zero() => {
                return Err(Error::value("scale", scale, "the projection divides by its square"));
            }
            Variant::Projected => Some(Cholesky::of_gram(lora.a.view())?),
        };
        Ok(Self { lora, gram })
    }

    /// A, B and their scale.
    pub fn lora(&self) -> &Lora<T> {
        &self.lora
    }

    /// Which gradient B follows.
    pub fn variant(&self) -> Variant {
        if self.gram.is_some() { Variant::Projected } else { Variant::Plain }
    }

    // ANCHOR: direction
    /// What the optimiser is given for ∂L/∂B, \[out, r\]: the same, or its projection.
    ///
    /// # Errors
    /// The gradient does not have the shape of B.
    pub fn direction(&self, grad_b: ArrayView2<'_, T>) -> Result<Array2<T>> {
        let Lora { b, scale, .. } = &self.lora;
        check_shape("the gradient of lora_B", grad_b.shape(), b.shape(), "the shape of B")?;
        match &self.gram {
            None => Ok(grad_b.to_owned()),
            // ĝ = (1/s²) ∂L/∂B (A Aᵀ)⁻¹ makes ‖s ĝ A − ∂L/∂W‖ smallest: [out, r]·[r, r] → [out, r]
            Some(gram) => Ok(gram.solve(grad_b.to_owned())? / (*scale * *scale)),
        }
    }
    // ANCHOR_END: direction
}

impl<T: Real> Adapter<T> for LoraFa<T> {
    type Saved = Saved<T>;
    type Grads = Grads<T>;

    // ANCHOR: forward
    /// LoRA's; x is dropped.
    fn forward(
        &self,
        weight: ArrayView2<'_, T>,
        x: &ArcArray2<T>,
        dropout: Option<&Arc<Dropout>>,
    ) -> Result<(Array2<T>, Saved<T>)> {
        let (y, lora::Saved { h, dropout, .. }) = self.lora.forward(weight, x, dropout)?;
        Ok((y, Saved { h, dropout }))
    }
    // ANCHOR_END: forward

    // ANCHOR: backward
    /// LoRA's without ∂L/∂A, the one gradient that needs x.
    fn backward(
        &self,
        weight: ArrayView2<'_, T>,
        Saved { h, dropout }: &Saved<T>,
        grad_y: ArrayView2<'_, T>,
    ) -> Result<(Array2<T>, Grads<T>)> {
        let [grad_x, _, grad_b] =
            self.lora.backward_frozen_a(weight, h, dropout.as_ref(), grad_y)?;
        Ok((grad_x, Grads { b: grad_b }))
    }
    // ANCHOR_END: backward

    // ANCHOR: step
    /// B follows its gradient, or the projected one; A and W stay.
    fn step(
        &mut self,
        _weight: &mut Array2<T>,
        grads: &Grads<T>,
        optimizer: &mut dyn Optimizer<T>,
    ) -> Result<()> {
        let direction = Grads { b: self.direction(grads.b.view())? };
        let group = optimizer.group();
        tensors::update(self, &direction, optimizer, |_, _| group)
    }
    // ANCHOR_END: step

    /// ΔW = s B A.
    fn delta_weight(&self, weight: ArrayView2<'_, T>) -> Result<Array2<T>> {
        self.lora.delta_weight(weight)
    }
}

adapter::tensors!(LoraFa { "lora_B" => lora.b });
adapter::tensors!(Grads { "lora_B" => b });

impl<T> Bytes for LoraFa<T> {
    fn count(&self, ledger: &mut Ledger) {
        self.lora.count(ledger);
        self.gram.iter().for_each(|gram| ledger.owned(&gram.l));
    }
}

impl<T> Bytes for Saved<T> {
    fn count(&self, ledger: &mut Ledger) {
        ledger.owned(&self.h);
        self.dropout.iter().for_each(|dropout| dropout.count(ledger));
    }
}
