//! A = Q R: orthonormal columns, and how A is made of them. By Householder's mirrors (1958): the one to read; and the one to
//! use.
//!
//! A mirror sends a column to a multiple of a unit vector and leaves lengths and angles as they are. One after the other
//! they clear A below its diagonal: H_k … H₂ H₁ A = R. Each is its own inverse, so Q = H₁ H₂ … H_k.

use adapter::Result;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, s};

use crate::decomposition::{Qr, check_finite, frobenius};

/// The thin QR decomposition of `a` \[m, n\]: LAPACK's with the feature `blas`, by [`householder`] without.
///
/// # Errors
/// `a` holds NaN or infinity.
pub fn qr(a: ArrayView2<'_, f64>) -> Result<Qr> {
    #[cfg(feature = "blas")]
    return crate::lapack::qr(a);
    #[cfg(not(feature = "blas"))]
    householder(a)
}

// ANCHOR: householder
/// The thin QR decomposition of `a` \[m, n\].
///
/// # Errors
/// `a` holds NaN or infinity.
pub fn householder(a: ArrayView2<'_, f64>) -> Result<Qr> {
    check_finite("A", a)?;
    let k = a.nrows().min(a.ncols());
    let mut r = a.to_owned();
    let mut mirrors = Vec::with_capacity(k);
    for j in 0..k {
        let normal = mirror(r.slice(s![j.., j]));
        reflect(&normal, r.slice_mut(s![j.., j..]));
        r.slice_mut(s![j + 1.., j]).fill(0.0); // up to rounding it is
        mirrors.push(normal);
    }
    // Q = H₁ (H₂ (… H_k)): its first k columns.
    let mut q = Array2::zeros((a.nrows(), k));
    q.diag_mut().fill(1.0);
    for j in (0..k).rev() {
        reflect(&mirrors[j], q.slice_mut(s![j.., j..]));
    }
    Ok(Qr { q, r: r.slice_move(s![..k, ..]) })
}
// ANCHOR_END: householder

/// The unit normal of a mirror that sends x to (∓‖x‖, 0, …, 0): x ± ‖x‖ e₁, with the sign that does not cancel. Zero, and no
/// mirror, for x = 0.
fn mirror(x: ArrayView1<'_, f64>) -> Array1<f64> {
    let length = frobenius(x);
    if length == 0.0 {
        return Array1::zeros(x.len());
    }
    let mut normal = &x / length; // x itself could overflow when it is doubled
    normal[0] += 1f64.copysign(normal[0]);
    let length = frobenius(&normal);
    normal / length
}

/// M ← M − 2 v (vᵀ M).
fn reflect(normal: &Array1<f64>, mut matrix: ArrayViewMut2<'_, f64>) {
    let along = normal.dot(&matrix);
    for (mut row, &component) in matrix.outer_iter_mut().zip(normal) {
        row.scaled_add(-2.0 * component, &along);
    }
}
