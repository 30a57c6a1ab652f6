//! DoRA on the CPU: the reference.
//!
//! Liu et al. 2024, *DoRA: Weight-Decomposed Low-Rank Adaptation*, arXiv 2402.09353, equation 5: LoRA says where each
//! row of the weight points, and m says how long it is.
//!
//! ```text
//! y = c ⊙ x Vᵀ                                         V = W + s B A,  c = m/‖V‖, a number for each row
//! y = x Wᵀ + (c − 1) ⊙ x̃ Wᵀ + c ⊙ s x̃ Aᵀ Bᵀ          the same with x̃ = dropout(x), as in PEFT
//! ```
//!
//! In backward ‖V‖ is a constant (section 4.3): A and B do not get the part of the gradient that would come through it.
//! What that leaves out is in the book's chapter and in `tests/it/detached.rs`.
//!
//! Run it: `cargo run -p lowrank-dora --example dora-quickstart`. Not here: LoRA's forward and backward (crate `lora`), and how a merge
//! is undone (`unmerge.rs`).

use std::sync::Arc;

use adapter::{Adapter, Bytes, Dropout, Error, Ledger, Real, Result, check_shape, linear};
use lora::Lora;
use ndarray::{ArcArray2, Array1, Array2, ArrayView2, Axis};

// ANCHOR: struct
/// LoRA, which turns the rows of W, and their lengths.
#[derive(Clone, Debug, PartialEq)]
pub struct Dora<T> {
    /// A, B and their scale: V = W + s B A.
    pub lora: Lora<T>,
    /// m, \[out\]: the length of each row of the adapted weight.
    pub magnitude: Array1<T>,
}
// ANCHOR_END: struct

/// What [`Dora::forward`](Adapter::forward) keeps: what LoRA does, u = x̃ Vᵀ \[tokens, out\] for ∂L/∂m alone, and ‖V‖ \[out\].
/// To compute u again from x would take a product as large as the frozen layer's.
#[derive(Debug)]
pub struct Saved<T> {
    lora: lora::Saved<T>,
    u: Array2<T>,
    norm: Array1<T>,
}

/// ∂L/∂A and ∂L/∂B with ‖V‖ held constant, and ∂L/∂m.
#[derive(Clone, Debug, PartialEq)]
pub struct Grads<T> {
    /// Of A and B.
    pub lora: lora::Grads<T>,
    /// \[out\].
    pub magnitude: Array1<T>,
}

impl<T: Real> Dora<T> {
    /// A LoRA, and a length for each of its rows.
    ///
    /// # Errors
    /// `magnitude` is not \[out\], or not finite.
    pub fn new(lora: Lora<T>, magnitude: Array1<T>) -> Result<Self> {
        check_shape("m", magnitude.shape(), &[lora.shape()[0]], "[out], with out from B [out, r]")?;
        if let Some(bad) = magnitude.iter().find(|m| !m.is_finite()) {
            return Err(Error::value("m", bad, "each length must be finite"));
        }
        Ok(Self { lora, magnitude })
    }

    /// A fresh adapter: m = ‖W + s B A‖, so that W′ is LoRA's W + s B A. With B = 0 that is W.
    ///
    /// # Errors
    /// `weight` \[out, in\] does not fit, or a row of W + s B A is zero or not finite.
    pub fn init(weight: ArrayView2<'_, T>, lora: Lora<T>) -> Result<Self> {
        let magnitude = row_norms(&(lora.delta_weight(weight)? + weight))?;
        Self::new(lora, magnitude)
    }

    /// V = W + s B A \[out, in\], and the norms of its rows \[out\].
    pub(crate) fn direction(&self, weight: ArrayView2<'_, T>) -> Result<(Array2<T>, Array1<T>)> {
        let v = self.lora.delta_weight(weight)? + weight; // [out, r]·[r, in] → [out, in]
        check_shape("m", self.magnitude.shape(), &[v.nrows()], "[out], from weight [out, in]")?;
        let norm = row_norms(&v)?;
        Ok((v, norm))
    }
}

/// The length of each row, \[out\].
fn row_norms<T: Real>(v: &Array2<T>) -> Result<Array1<T>> {
    let norms = v.map_axis(Axis(1), |row| row.dot(&row).sqrt());
    let unfit = |norm: &T| !(*norm > T::zero() && norm.is_finite());
    if let Some(row) = norms.iter().position(unfit) {
        let name = format!("the norm of row {row} of W + s B A");
        let hint = "DoRA divides by it; adapt this layer with another method, or find what is NaN in W, A or B";
        return Err(Error::value(name, norms[row], hint));
    }
    Ok(norms)
}

impl<T: Real> Adapter<T> for Dora<T> {
    type Saved = Saved<T>;
    type Grads = Grads<T>;

    // ANCHOR: forward
    fn forward(
        &self,
        weight: ArrayView2<'_, T>,
        x: &ArcArray2<T>,
        dropout: Option<&Arc<Dropout>>,
    ) -> Result<(Array2<T>, Saved<T>)> {
        // c = m/‖W + s B A‖
        let (_, norm) = self.direction(weight)?;
        let c = &self.magnitude / &norm; // [out]

        // u = x Wᵀ + s h Bᵀ, which is LoRA
        let (mut u, lora) = self.lora.forward(weight, x, dropout)?; // [tokens, out]
        let y = match dropout {
            // y = c ⊙ u
            None => &u * &c,
            // The mask is on all that DoRA adds: u = x̃ Wᵀ + s h Bᵀ, y = (x − x̃) Wᵀ + c ⊙ u
            Some(dropout) => {
                let masked = x - &dropout.apply(x.view())?; // x − x̃
                let frozen = linear::forward(weight, masked.view())?; // [tokens, in]·[in, out]
                u -= &frozen;
                &u * &c + frozen
            }
        };
        Ok((y, Saved { lora, u, norm }))
    }
    // ANCHOR_END: forward

    // ANCHOR: backward
    fn backward(
        &self,
        weight: ArrayView2<'_, T>,
        Saved { lora, u, norm }: &Saved<T>,
        grad_y: ArrayView2<'_, T>,
    ) -> Result<(Array2<T>, Grads<T>)> {
        check_shape("grad_y", grad_y.shape(), u.shape(), "the shape of y")?;
        check_shape("m", self.magnitude.shape(), norm.shape(), "[out], as in forward")?;

        // ∂L/∂m = Σ ∂L/∂y ⊙ u / ‖V‖, over the tokens
        let grad_m = (&grad_y * u).sum_axis(Axis(0)) / norm; // [tokens, out] → [out]
        // ∂L/∂u = c ⊙ ∂L/∂y, with c = m/‖V‖
        let grad_u = &grad_y * &(&self.magnitude / norm); // [tokens, out]

        // With ‖V‖ held constant, what is left is LoRA's.
        let (mut grad_x, grads) = self.lora.backward(weight, lora, grad_u.view())?;
        if let Some(dropout) = &lora.dropout {
            // LoRA has x Wᵀ where u has x̃ Wᵀ and y has (x − x̃) Wᵀ beside it.
            let frozen = linear::backward(weight, (&grad_y - &grad_u).view())?; // [tokens, out]·[out, in]
            grad_x -= &dropout.apply(frozen.view())?;
            grad_x += &frozen;
        }
        Ok((grad_x, Grads { lora: grads, magnitude: grad_m }))
    }
    // ANCHOR_END: backward

    // ANCHOR: delta
    /// ΔW = c ⊙ (W + s B A) − W.
    fn delta_weight(&self, weight: ArrayView2<'_, T>) -> Result<Array2<T>> {
        let (v, norm) = self.direction(weight)?;
        let c = (&self.magnitude / &norm).insert_axis(Axis(1)); // [out, 1]
        Ok(v * &c - weight)
    }
    // ANCHOR_END: delta

    /// Not possible from the merged weight alone: see [`unmerge_with`](Dora::unmerge_with).
    ///
    /// # Errors
    /// Always.
    fn unmerge(&self, _weight: &mut Array2<T>) -> Result<()> {
        let hint = "DoRA's merge leaves nothing of ‖W + s B A‖: take `norm` before merging, and `unmerge_with` it, or keep a copy of W";
        Err(Error::value("unmerge", "not possible from the merged weight alone", hint))
    }
}

adapter::tensors!(Dora, Grads {
    "lora_A" => lora.a,
    "lora_B" => lora.b,
    "lora_magnitude_vector" => magnitude,
});

impl<T> Bytes for Dora<T> {
    fn count(&self, ledger: &mut Ledger) {
        self.lora.count(ledger);
        ledger.owned(&self.magnitude);
    }
}

impl<T> Bytes for Saved<T> {
    fn count(&self, ledger: &mut Ledger) {
        self.lora.count(ledger);
        ledger.owned(&self.u);
        ledger.owned(&self.norm);
    }
}
