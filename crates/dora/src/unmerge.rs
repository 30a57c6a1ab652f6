//! How a merge is undone: with what it forgets, the norms.
//!
//! The merged W′ = m/‖V‖ ⊙ V has rows of the lengths |m|. Of ‖V‖ nothing is left in it: whatever ‖V‖ is, there is a W that
//! merges to this W′. PEFT keeps the norms beside the merged layer; here who merges keeps them.

use adapter::{Adapter, Error, Real, Result, check_shape};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use crate::Dora;

impl<T: Real> Dora<T> {
    // ANCHOR: unmerge
    /// ‖W + s B A‖ of each row, \[out\]: what [`unmerge_with`](Self::unmerge_with) needs, to be taken before merging.
    ///
    /// # Errors
    /// `weight` or m does not fit, or a row is zero or not finite.
    pub fn norm(&self, weight: ArrayView2<'_, T>) -> Result<Array1<T>> {
        Ok(self.direction(weight)?.1)
    }

    /// W ← ‖V‖/m ⊙ W′ − s B A: undoes a merge, up to rounding. `norm` is [`norm`](Self::norm) of the weight before it.
    ///
    /// # Errors
    /// A shape does not fit, or a length m is 0, which leaves nothing of its row.
    pub fn unmerge_with(&self, weight: &mut Array2<T>, norm: ArrayView1<'_, T>) -> Result<()> {
        let delta = self.lora.delta_weight(weight.view())?; // [out, r]·[r, in] → [out, in]
        check_shape(
            "m",
            self.magnitude.shape(),
            &[weight.nrows()],
            "[out], from weight [out, in]",
        )?;
        check_shape("norm", norm.shape(), self.magnitude.shape(), "the shape of m")?;
        if let Some(row) = self.magnitude.iter().position(|&m| m == T::zero()) {
            let hint = "nothing of this row is left after a merge: keep a copy of W";
            return Err(Error::value(format!("m[{row}]"), 0, hint));
        }
        *weight *= &(&norm / &self.magnitude).insert_axis(Axis(1));
        *weight -= &delta;
        Ok(())
    }
    // ANCHOR_END: unmerge
}
