//! The Cholesky factor of A Aᵀ, in the working precision.

use adapter::{Error, Real, Result};
use ndarray::{Array2, ArrayView2, s};

/// L, lower triangular with L Lᵀ = A Aᵀ.
#[derive(Clone, Debug, PartialEq)]
pub struct Cholesky<T> {
    /// \[r, r\].
    pub(crate) l: Array2<T>,
}

impl<T: Real> Cholesky<T> {
    // ANCHOR: factor
    /// Factor A Aᵀ, where A is \[r, in\].
    ///
    /// # Errors
    /// The rows of A are not linearly independent as far as rounding lets one tell, so A Aᵀ has no inverse: always when
    /// r > in.
    pub fn of_gram(a: ArrayView2<'_, T>) -> Result<Self> {
        let (r, inputs) = a.dim();
        let singular = |why: String| {
            let hint = "so A Aᵀ has no inverse: the projected variant needs r ≤ in and rows that are linearly \
                        independent; the plain one does not";
            Error::value("A", format!("[{r}, {inputs}]"), format!("{why}, {hint}"))
        };
        if r > inputs {
            return Err(singular(format!("{r} rows of length {inputs} are dependent")));
        }
        let gram = a.dot(&a.t()); // [r, in]·[in, r] → [r, r]
        let mut l = Array2::<T>::zeros((r, r));
        for j in 0..r {
            let row = l.slice(s![j, ..j]);
            // What of row j of A is at right angles to the rows before it, squared.
            let left = gram[[j, j]] - row.dot(&row);
            // Rounding alone leaves about this much when it is zero.
            let noise = T::from_f64((r + inputs) as f64 * 2.0 * T::UNIT_ROUNDOFF) * gram[[j, j]];
            if !(left > noise) {
                return Err(singular(format!("its row {j} is a combination of those before it")));
            }
            l[[j, j]] = left.sqrt();
            for i in j + 1..r {
                let inner = l.slice(s![i, ..j]).dot(&l.slice(s![j, ..j]));
                l[[i, j]] = (gram[[i, j]] - inner) / l[[j, j]];
            }
        }
        Ok(Self { l })
    }
    // ANCHOR_END: factor

    // ANCHOR: solve
    /// G (A Aᵀ)⁻¹ for G \[out, r\]: for each row g, solve z L Lᵀ = g from the left to the right and back.
    pub fn solve(&self, mut g: Array2<T>) -> Array2<T> {
        let l = &self.l;
        for mut row in g.outer_iter_mut() {
            for j in 0..l.nrows() {
                let known = l.slice(s![j, ..j]).dot(&row.slice(s![..j]));
                row[j] = (row[j] - known) / l[[j, j]];
            }
            for j in (0..l.nrows()).rev() {
                let known = l.slice(s![j + 1.., j]).dot(&row.slice(s![j + 1..]));
                row[j] = (row[j] - known) / l[[j, j]];
            }
        }
        g
    }
    // ANCHOR_END: solve
}
