//! LAPACK's SVD (`gesdd`, divide and conquer) and QR (`geqrf`), through ndarray-linalg.

use adapter::{Error, Result};
use ndarray::{Array1, Array2, ArrayView2};
use ndarray_linalg::{JobSvd, QR, SVDDC};

use crate::decomposition::{Qr, Svd, check_finite};

/// The thin SVD of `a`.
///
/// # Errors
/// `a` holds NaN or infinity, or LAPACK's iteration does not converge.
pub fn svd(a: ArrayView2<'_, f64>) -> Result<Svd> {
    check_finite("A", a)?;
    let k = a.nrows().min(a.ncols());
    if k == 0 {
        return Ok(Svd {
            u: Array2::zeros((a.nrows(), 0)),
            s: Array1::zeros(0),
            vt: Array2::zeros((0, a.ncols())),
        });
    }
    // A finite matrix leaves gesdd one way to fail.
    let (u, s, vt) = a.svddc(JobSvd::Some).map_err(|error| Error::NotConverged {
        name: "LAPACK's SVD".into(),
        hint: format!("{error}; try rank::jacobi::svd").into(),
    })?;
    let (u, vt) = u.zip(vt).expect("JobSvd::Some asks for both");
    Ok(Svd { u, s, vt })
}

/// The thin QR decomposition of `a`.
///
/// # Errors
/// `a` holds NaN or infinity.
pub fn qr(a: ArrayView2<'_, f64>) -> Result<Qr> {
    check_finite("A", a)?;
    let k = a.nrows().min(a.ncols());
    if k == 0 {
        return Ok(Qr { q: Array2::zeros((a.nrows(), 0)), r: Array2::zeros((0, a.ncols())) });
    }
    // geqrf has no way to fail but arguments that do not fit each other, which ndarray-linalg makes.
    let (q, r) = a.qr().map_err(|error| Error::NotConverged {
        name: "LAPACK's QR".into(),
        hint: format!("{error}; try rank::householder").into(),
    })?;
    Ok(Qr { q, r })
}
