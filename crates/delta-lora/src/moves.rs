//! What the moves of W come to over a whole run, and how they are taken back.
//!
//! They telescope: W_T = W₀ + λ s (B_T A_T − B_K A_K). So W_T − W₀ has rank 2r at most, and with K = 0 and B₀ = 0 the layer
//! is LoRA with the scale (1 + λ) s. The book's chapter has the proofs; `tests/it/telescoping.rs` and
//! `tests/it/identity.rs` check them.

use adapter::{Real, Result, check_shape};
use ndarray::{Array2, Axis, concatenate};

use crate::DeltaLora;

impl<T: Real> DeltaLora<T> {
    // ANCHOR: total
    /// W_T + s B A − W₀ as factors (A′ \[2r, in\], B′ \[out, 2r\]): B′A′ is all that training changed. An adapter of rank
    /// 2r and scale 1 that holds them, on the initial W, is the trained layer.
    ///
    /// # Errors
    /// A or B has been replaced by one of another shape.
    pub fn total(&self) -> Result<(Array2<T>, Array2<T>)> {
        let [start_a, start_b] = self.start_that_fits()?;
        let factor = if self.has_moved() { self.factor() } else { T::zero() };
        // s B A + λ s (B A − B_K A_K) = [(s + λ s) B, −λ s B_K] [A; A_K]
        let a = concatenate![Axis(0), self.lora.a, *start_a]; // [2r, in]
        let b = concatenate![Axis(1), &self.lora.b * (self.lora.scale + factor), start_b * -factor]; // [out, 2r]
        Ok((a, b))
    }
    // ANCHOR_END: total

    /// W ← W₀, up to rounding: takes back λ s (B_T A_T − B_K A_K).
    ///
    /// # Errors
    /// The weight has another shape, or A or B has been replaced by one of another shape.
    pub fn restore(&self, weight: &mut Array2<T>) -> Result<()> {
        check_shape("weight", weight.shape(), &self.lora.shape(), "[out, in] of the adapter")?;
        self.lora.check(weight.view())?;
        if self.has_moved() {
            let [start_a, start_b] = self.start_that_fits()?;
            let moved = self.lora.b.dot(&self.lora.a) - start_b.dot(start_a); // [out, r]·[r, in] → [out, in]
            weight.scaled_add(-self.factor(), &moved);
        }
        Ok(())
    }

    /// A_K and B_K. `lora` is public, so its shapes may have changed since they were kept.
    fn start_that_fits(&self) -> Result<&[Array2<T>; 2]> {
        let [a, b] = &self.start;
        check_shape("A", self.lora.a.shape(), a.shape(), "the shape of A_K")?;
        check_shape("B", self.lora.b.shape(), b.shape(), "the shape of B_K")?;
        Ok(&self.start)
    }
}
