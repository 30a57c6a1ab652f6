//! LAPACK's SVD (`gesdd`, divide and conquer), through ndarray-linalg.

use adapter::{Error, Result};
use ndarray::{Array1, Array2, ArrayView2};
use ndarray_linalg::{JobSvd, SVDDC};

use crate::Svd;
use crate::svd::check_finite;

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
    let (u, s, vt) = a.svddc(JobSvd::Some).map_err(|error| Error::NotFinite {
        name: "LAPACK's SVD".into(),
        hint: error.to_string().into(),
    })?;
    let (u, vt) = u.zip(vt).expect("JobSvd::Some asks for both");
    Ok(Svd { u, s, vt })
}
