//! The SVD of a product of thin matrices, without the product.
//!
//! Let B be \[m, r\] and A \[r, n\], with r far below m and n. Decompose each by itself, B = Q_B R_B and Aᵀ = Q_A R_A. Then
//!
//! ```text
//! B A = Q_B (R_B R_Aᵀ) Q_Aᵀ
//! ```
//!
//! In the middle is the *core*, of only r × r numbers. With its SVD, R_B R_Aᵀ = U Σ Vᵀ,
//!
//! ```text
//! B A = (Q_B U) Σ (Q_A V)ᵀ
//! ```
//!
//! and Q_B U and Q_A V have orthonormal columns, since Q_B, U, Q_A and V have. So this is the SVD of B A, without its m n
//! entries: some (m + n) r² multiplications in the place of some m n min(m, n).

use adapter::{Result, check_shape};
use ndarray::ArrayView2;

use crate::decomposition::{Svd, check_finite};
use crate::qr::qr;

// ANCHOR: svd
/// The SVD of B A, for `b` \[m, r\] and `a` \[r, n\]: all singular values that can be other than 0, k = min(m, n, r).
///
/// Errors of rounding are relative to ‖B‖ ‖A‖, as they are in the product itself.
///
/// # Errors
/// The two do not fit together, hold NaN or infinity, or their product does; or the iteration of the SVD does not converge.
pub fn svd(b: ArrayView2<'_, f64>, a: ArrayView2<'_, f64>) -> Result<Svd> {
    check_shape("A", a.shape(), &[b.ncols(), a.ncols()], "[r, n], with r from B [m, r]")?;
    check_finite("B", b)?;
    let (left, right) = (qr(b)?, qr(a.t())?);
    let core = left.r.dot(&right.r.t()); // [r, r]·[r, r] → [r, r]
    check_finite("B A", core.view())?;
    let Svd { u, s, vt } = crate::svd(core.view())?;
    Ok(Svd {
        u: left.q.dot(&u),        // [m, r]·[r, k] → [m, k]
        s,                        // [k]
        vt: vt.dot(&right.q.t()), // [k, r]·[r, n] → [k, n]
    })
}
// ANCHOR_END: svd
