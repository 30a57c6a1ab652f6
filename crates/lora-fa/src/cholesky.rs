//! The Cholesky factor of A Aᵀ, in the working precision.
//!
//! r is small, so this is a few loops and no library: the crate builds where there is no LAPACK. The tests compare it
//! with LAPACK's.

use adapter::{Error, Real, Result, check_shape};
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
    /// r > in. Or A Aᵀ is not finite.
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
        if !gram.iter().all(|value| value.is_finite()) {
            let hint = "A holds NaN or infinity, or numbers too large to square";
            return Err(Error::NotFinite { name: "A Aᵀ".into(), hint: hint.into() });
        }
        // Sums of `in` and of up to r squares, none above gram[j, j], round by at most this fraction of it. Twice that,
        // since the rows before j were rounded too.
        let noise = T::from_f64(2.0 * (inputs + r) as f64 * T::UNIT_ROUNDOFF);
        let mut l = Array2::<T>::zeros((r, r));
        for j in 0..r {
            // L[j, j]² = gram[j, j] − Σ_{k<j} L[j, k]²: what of row j of A is at right angles to the rows before it.
            let row = l.slice(s![j, ..j]);
            let pivot = gram[[j, j]] - row.dot(&row);
            if !(pivot > noise * gram[[j, j]]) {
                let what = if j == 0 { "zero" } else { "zero or a combination of those before it" };
                return Err(singular(format!("its row {j} is {what}")));
            }
            l[[j, j]] = pivot.sqrt();
            // L[i, j] = (gram[i, j] − Σ_{k<j} L[i, k] L[j, k]) / L[j, j]
            for i in j + 1..r {
                let known = l.slice(s![i, ..j]).dot(&l.slice(s![j, ..j]));
                l[[i, j]] = (gram[[i, j]] - known) / l[[j, j]];
            }
        }
        Ok(Self { l })
    }
    // ANCHOR_END: factor

    // ANCHOR: solve
    /// Z = G (A Aᵀ)⁻¹ for G \[out, r\]: for each row, z L Lᵀ = g.
    ///
    /// # Errors
    /// G does not have r columns.
    pub fn solve(&self, mut g: Array2<T>) -> Result<Array2<T>> {
        let (l, r) = (&self.l, self.l.nrows());
        check_shape("G", g.shape(), &[g.nrows(), r], "[out, r], with r from A [r, in]")?;
        for mut row in g.outer_iter_mut() {
            // w Lᵀ = g, from the left: w[j] = (g[j] − Σ_{k<j} w[k] L[j, k]) / L[j, j]
            for j in 0..r {
                let known = row.slice(s![..j]).dot(&l.slice(s![j, ..j]));
                row[j] = (row[j] - known) / l[[j, j]];
            }
            // z L = w, from the right: z[j] = (w[j] − Σ_{k>j} z[k] L[k, j]) / L[j, j]
            for j in (0..r).rev() {
                let known = row.slice(s![j + 1..]).dot(&l.slice(s![j + 1.., j]));
                row[j] = (row[j] - known) / l[[j, j]];
            }
        }
        Ok(g)
    }
    // ANCHOR_END: solve
}
