//! LoRA on the CPU: the reference.
//!
//! Hu et al. 2021, *LoRA: Low-Rank Adaptation of Large Language Models*, arXiv 2106.09685, equation 3:
//! W stays as it is, and a product of two thin matrices is trained beside it.
//!
//! ```text
//! y = x Wᵀ + s · x̃ Aᵀ Bᵀ        x̃ = dropout(x),  s = α/r
//! ```
//!
//! Run it: `cargo run -p lowrank-lora --example lora-quickstart`. Not here: biases (the layer adds them) and how A and B start
//! (`init.rs`).

use std::sync::Arc;

use adapter::{Adapter, Bytes, Dropout, Error, Ledger, Real, Result, check_shape, linear};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArcArray2, Array2, ArrayView2};

// ANCHOR: struct
/// The two trained matrices and their scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Lora<T> {
    /// A, \[r, in\]: what to look at in the input.
    pub a: Array2<T>,
    /// B, \[out, r\]: where in the output to write it. Zero at the start, so that nothing changes.
    pub b: Array2<T>,
    /// s, usually α/r: see [`Scaling`](crate::Scaling).
    pub scale: T,
}
// ANCHOR_END: struct

/// What [`Lora::forward`](Adapter::forward) keeps.
#[derive(Debug)]
pub struct Saved<T> {
    /// x, \[tokens, in\]: needed for ∂L/∂A alone. Shared with whoever else has the same input.
    pub x: ArcArray2<T>,
    /// h = x̃ Aᵀ, \[tokens, r\].
    pub h: Array2<T>,
    /// The mask, if there was one.
    pub dropout: Option<Arc<Dropout>>,
}

/// ∂L/∂A and ∂L/∂B.
#[derive(Clone, Debug, PartialEq)]
pub struct Grads<T> {
    /// \[r, in\].
    pub a: Array2<T>,
    /// \[out, r\].
    pub b: Array2<T>,
}

impl<T: Real> Lora<T> {
    /// Two matrices that fit together, and a scale.
    ///
    /// # Errors
    /// The rank is 0, A and B have different ranks, or the scale is not finite.
    pub fn new(a: Array2<T>, b: Array2<T>, scale: T) -> Result<Self> {
        if a.nrows() == 0 {
            return Err(Error::value("rank", 0, "A [r, in] needs at least one row"));
        }
        check_shape("B", b.shape(), &[b.nrows(), a.nrows()], "[out, r], with r from A [r, in]")?;
        if !scale.is_finite() {
            return Err(Error::value("scale", scale, "it must be finite"));
        }
        Ok(Self { a, b, scale })
    }

    /// \[out, in\] of the weight it is for.
    pub fn shape(&self) -> [usize; 2] {
        [self.b.nrows(), self.a.ncols()]
    }

    /// # Errors
    /// `weight` \[out, in\] does not fit A \[r, in\] and B \[out, r\].
    pub fn check(&self, weight: ArrayView2<'_, T>) -> Result<()> {
        let (rank, (out, inputs)) = (self.a.nrows(), weight.dim());
        let from = "[r, in], with in from weight [out, in]";
        check_shape("A", self.a.shape(), &[rank, inputs], from)?;
        check_shape("B", self.b.shape(), &[out, rank], "[out, r], with out from weight [out, in]")
    }

    // ANCHOR: backward_frozen_a
    /// All of backward but ∂L/∂A, the one gradient that needs x: ∂L/∂x \[tokens, in\], ∂L/∂h \[tokens, r\] and ∂L/∂B \[out, r\].
    ///
    /// # Errors
    /// A shape does not fit the others.
    pub fn backward_frozen_a(
        &self,
        weight: ArrayView2<'_, T>,
        h: &Array2<T>,
        dropout: Option<&Arc<Dropout>>,
        grad_y: ArrayView2<'_, T>,
    ) -> Result<[Array2<T>; 3]> {
        self.check(weight)?;
        check_shape("h", h.shape(), &[h.nrows(), self.a.nrows()], "[tokens, r]")?;
        check_shape("grad_y", grad_y.shape(), &[h.nrows(), weight.nrows()], "the shape of y")?;

        // ∂L/∂h = s ∂L/∂y B
        let grad_h = grad_y.dot(&self.b) * self.scale; // [tokens, out]·[out, r] → [tokens, r]
        // ∂L/∂B = s (∂L/∂y)ᵀ h
        let grad_b = grad_y.t().dot(h) * self.scale; // [out, tokens]·[tokens, r] → [out, r]

        // ∂L/∂x = ∂L/∂y W, and what comes back through A (and the mask).
        let mut grad_x = linear::backward(weight, grad_y)?; // [tokens, out]·[out, in] → [tokens, in]
        match dropout {
            // x̃ = x ⊙ mask/(1 − p) is linear, so the way back is the same mask.
            Some(dropout) => grad_x += &dropout.apply(grad_h.dot(&self.a).view())?,
            None => general_mat_mul(T::one(), &grad_h, &self.a, T::one(), &mut grad_x), // [tokens, r]·[r, in]
        }
        Ok([grad_x, grad_h, grad_b])
    }
    // ANCHOR_END: backward_frozen_a
}

impl<T: Real> Adapter<T> for Lora<T> {
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

        Ok((y, Saved { x: x.clone(), h, dropout: dropout.cloned() }))
    }
    // ANCHOR_END: forward

    // ANCHOR: backward
    fn backward(
        &self,
        weight: ArrayView2<'_, T>,
        saved: &Saved<T>,
        grad_y: ArrayView2<'_, T>,
    ) -> Result<(Array2<T>, Grads<T>)> {
        let Saved { x, h, dropout } = saved;
        self.check(weight)?;
        check_shape("x", x.shape(), &[h.nrows(), weight.ncols()], "[tokens, in]")?;
        let [grad_x, grad_h, grad_b] =
            self.backward_frozen_a(weight, h, dropout.as_ref(), grad_y)?;
        // ∂L/∂A = (∂L/∂h)ᵀ x̃
        let grad_a = match dropout {
            Some(dropout) => grad_h.t().dot(&dropout.apply(x.view())?),
            None => grad_h.t().dot(x), // [r, tokens]·[tokens, in] → [r, in]
        };
        Ok((grad_x, Grads { a: grad_a, b: grad_b }))
    }
    // ANCHOR_END: backward

    // ANCHOR: delta
    /// ΔW = s B A.
    fn delta_weight(&self, weight: ArrayView2<'_, T>) -> Result<Array2<T>> {
        check_shape("weight", weight.shape(), &self.shape(), "[out, in] of the adapter")?;
        self.check(weight)?;
        Ok(self.b.dot(&self.a) * self.scale) // [out, r]·[r, in] → [out, in]
    }
    // ANCHOR_END: delta
}

adapter::tensors!(Lora, Grads { "lora_A" => a, "lora_B" => b });

impl<T> Bytes for Lora<T> {
    fn count(&self, ledger: &mut Ledger) {
        ledger.owned(&self.a);
        ledger.owned(&self.b);
    }
}

impl<T> Bytes for Saved<T> {
    fn count(&self, ledger: &mut Ledger) {
        ledger.shared(&self.x);
        ledger.owned(&self.h);
        self.dropout.iter().for_each(|dropout| dropout.count(ledger));
    }
}
