//! Other masks than the case has: what the mutants try, and what a case with the flag `InfTimesDropped` accepts.

use ndarray::Array2;

use super::Inputs;

impl Inputs {
    /// No mask at all. False if there was none.
    pub fn remove_masks(&mut self) -> bool {
        let had = !self.masks.is_empty();
        self.masks.clear();
        had
    }

    /// What is kept dropped, and what is dropped kept. False if there is no mask.
    pub fn invert_masks(&mut self) -> bool {
        self.masks.values_mut().for_each(|mask| mask.mapv_inplace(|kept| 1 - kept));
        !self.masks.is_empty()
    }

    /// The mask of each token for the next one. False if that changes none.
    pub fn roll_masks(&mut self) -> bool {
        let mut changed = false;
        for mask in self.masks.values_mut() {
            let rows = mask.nrows();
            let rolled =
                Array2::from_shape_fn(mask.dim(), |(i, j)| mask[[(i + rows - 1) % rows, j]]);
            changed |= rolled != *mask;
            *mask = rolled;
        }
        changed
    }

    /// A mask of about one half for every x, where there is none. False if there is one, or no x.
    pub fn make_masks(&mut self) -> bool {
        if !self.masks.is_empty() {
            return false;
        }
        for (name, x) in &self.tensors {
            let Some(suffix) = name.strip_prefix('x') else { continue };
            let &[tokens, inputs] = x.shape() else { continue };
            // Golden sections: spread evenly over every row and every column.
            let kept = |(i, j)| u8::from(((i + 1) * 0x9e37 + (j + 1) * 0x79b9) % 0x10000 < 0x8000);
            let mask = Array2::from_shape_fn((tokens, inputs), kept);
            self.masks.insert(format!("dropout_mask{suffix}"), mask);
        }
        !self.masks.is_empty()
    }

    /// The mask as a product, so that a dropped NaN or ∞ becomes NaN and not 0. False if there is none.
    ///
    /// Such an element is kept and NaN; x itself has it in the frozen term, which is not finite there in any case.
    pub fn multiply_masks(&mut self) -> bool {
        let mut changed = false;
        for (name, mask) in &mut self.masks {
            let x = format!("x{}", name.strip_prefix("dropout_mask").unwrap_or_default());
            let Some(x) = self.tensors.get_mut(&x) else { continue };
            for (kept, x) in mask.iter_mut().zip(x.iter_mut()) {
                if *kept == 0 && !x.is_finite() {
                    (*kept, *x, changed) = (1, f64::NAN, true);
                }
            }
        }
        changed
    }
}
