//! LoRA-FA on the CPU: the reference.
//!
//! Zhang et al. 2023, *LoRA-FA: Memory-efficient Low-rank Adaptation for Large Language Models Fine-tuning*, arXiv
//! 2308.03303: LoRA whose A stays as it was drawn. Only B is trained, so backward needs x̃ Aᵀ and not x.
//!
//! ```text
//! y = x Wᵀ + s · x̃ Aᵀ Bᵀ        x̃ = dropout(x),  s = α/r,  A frozen
//! ```
//!
//! Run it: `cargo run -p lora-fa --example lora-fa-quickstart`. Not here: how A is drawn (`init.rs`) and how the projection is
//! solved (`cholesky.rs`).

use std::sync::Arc;

use adapter::{Adapter, Bytes, Dropout, Ledger, Optimizer, Real, Result, Tensors, check_shape};
use adapter::{Error, linear};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArcArray2, Array2, ArrayView2, ArrayViewD, ArrayViewMutD};

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
/// A frozen and a trained matrix, and their scale.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraFa<T> {
    /// A, \[r, in\]: frozen, and therefore private.
    a: Array2<T>,
    /// B, \[out, r\]. Zero at the start, so that nothing changes.
    pub b: Array2<T>,
    /// s, usually α/r.
    pub scale: T,
    /// The factor of A Aᵀ, for [`Variant::Projected`].
    gram: Option<Cholesky<T>>,
}
// ANCHOR_END: struct

/// What [`LoraFa::forward`](Adapter::forward) keeps: x̃ Aᵀ and the mask. Not x.
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
    /// Two matrices that fit together, and a scale.
    ///
    /// # Errors
    /// The rank is 0, A and B have different ranks, or the scale is not finite. Of the projected variant also: the
    /// scale is 0, or the rows of A are not linearly independent.
    pub fn new(a: Array2<T>, b: Array2<T>, scale: T, variant: Variant) -> Result<Self> {
        if a.nrows() == 0 {
            return Err(Error::value("rank", 0, "A [r, in] needs at least one row"));
        }
        check_shape("B", b.shape(), &[b.nrows(), a.nrows()], "[out, r], with r from A [r, in]")?;
        if !scale.is_finite() {
            return Err(Error::value("scale", scale, "it must be finite"));
        }
        let gram = match variant {
            Variant::Plain => None,
            Variant::Projected if scale == T::zero() => {
                return Err(Error::value("scale", scale, "the projection divides by its square"));
            }
            Variant::Projected => Some(Cholesky::of_gram(a.view())?),
        };
        Ok(Self { a, b, scale, gram })
    }

    /// A, \[r, in\].
    pub fn a(&self) -> ArrayView2<'_, T> {
        self.a.view()
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
        check_shape("the gradient of lora_B", grad_b.shape(), self.b.shape(), "the shape of B")?;
        match &self.gram {
            None => Ok(grad_b.to_owned()),
            // ĝ = (1/s²) ∂L/∂B (A Aᵀ)⁻¹ makes ‖s ĝ A − ∂L/∂W‖ smallest: [out, r]·[r, r] → [out, r]
            Some(gram) => Ok(gram.solve(grad_b.to_owned())? / (self.scale * self.scale)),
        }
    }
    // ANCHOR_END: direction

    fn check(&self, weight: ArrayView2<'_, T>) -> Result<()> {
        let (rank, [out, inputs]) = (self.a.nrows(), [weight.nrows(), weight.ncols()]);
        check_shape(
            "A",
            self.a.shape(),
            &[rank, inputs],
            "[r, in], with in from weight [out, in]",
        )?;
        check_shape("B", self.b.shape(), &[out, rank], "[out, r], with out from weight [out, in]")
    }
}

impl<T: Real> Adapter<T> for LoraFa<T> {
    type Saved = Saved<T>;
    type Grads = Grads<T>;

    // ANCHOR: forward
    fn forward(
        &self,
        weight: ArrayView2<'_, T>,
        x: &ArcArray2<T>,
        dropout: Option<&Arc<Dropout>>,
    ) -> Result<(Array2<T>, Saved<T>)> {
        self.check(weight)?;
        let mut y = linear::forward(weight, x.view())?; // [tokens, in]·[in, out] → [tokens, out]

        // h = x̃ Aᵀ
        let h = match dropout {
            Some(dropout) => dropout.apply(x.view())?.dot(&self.a.t()),
            None => x.dot(&self.a.t()), // [tokens, in]·[in, r] → [tokens, r]
        };
        // y = x Wᵀ + s h Bᵀ
        general_mat_mul(self.scale, &h, &self.b.t(), T::one(), &mut y); // [tokens, r]·[r, out]

        Ok((y, Saved { h, dropout: dropout.cloned() }))
    }
    // ANCHOR_END: forward

    // ANCHOR: backward
    fn backward(
        &self,
        weight: ArrayView2<'_, T>,
        saved: &Saved<T>,
        grad_y: ArrayView2<'_, T>,
    ) -> Result<(Array2<T>, Grads<T>)> {
        self.check(weight)?;
        let Saved { h, dropout } = saved;
        check_shape("grad_y", grad_y.shape(), &[h.nrows(), weight.nrows()], "the shape of y")?;

        // ∂L/∂B = s (∂L/∂y)ᵀ h
        let grad_b = grad_y.t().dot(h) * self.scale; // [out, tokens]·[tokens, r] → [out, r]

        // ∂L/∂x = ∂L/∂y W, and what comes back through A (and the mask): s ∂L/∂y B A.
        let mut grad_x = linear::backward(weight, grad_y)?; // [tokens, out]·[out, in] → [tokens, in]
        let grad_h = grad_y.dot(&self.b) * self.scale; // [tokens, out]·[out, r] → [tokens, r]
        match dropout {
            Some(dropout) => grad_x += &dropout.apply(grad_h.dot(&self.a).view())?,
            None => general_mat_mul(T::one(), &grad_h, &self.a, T::one(), &mut grad_x), // [tokens, r]·[r, in]
        }
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
        let gradient = self.direction(grads.b.view())?;
        let group = optimizer.group();
        optimizer.update("lora_B", self.b.view_mut().into_dyn(), gradient.view().into_dyn(), group)
    }
    // ANCHOR_END: step

    /// ΔW = s B A.
    fn delta_weight(&self) -> Array2<T> {
        self.b.dot(&self.a) * self.scale // [out, r]·[r, in] → [out, in]
    }
}

impl<T> Tensors<T> for LoraFa<T> {
    fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, T>)> {
        vec![("lora_B", self.b.view().into_dyn())]
    }
    fn tensors_mut(&mut self) -> Vec<(&'static str, ArrayViewMutD<'_, T>)> {
        vec![("lora_B", self.b.view_mut().into_dyn())]
    }
}

impl<T> Tensors<T> for Grads<T> {
    fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, T>)> {
        vec![("lora_B", self.b.view().into_dyn())]
    }
    fn tensors_mut(&mut self) -> Vec<(&'static str, ArrayViewMutD<'_, T>)> {
        vec![("lora_B", self.b.view_mut().into_dyn())]
    }
}

impl<T> Bytes for LoraFa<T> {
    fn count(&self, ledger: &mut Ledger) {
        ledger.owned(&self.a);
        ledger.owned(&self.b);
        self.gram.iter().for_each(|gram| ledger.owned(&gram.l));
    }
}

impl<T> Bytes for Saved<T> {
    fn count(&self, ledger: &mut Ledger) {
        ledger.owned(&self.h);
        self.dropout.iter().for_each(|dropout| dropout.count(ledger));
    }
}
