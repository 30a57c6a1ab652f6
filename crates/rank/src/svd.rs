//! The SVD to use: one of the two.

use adapter::Result;
use ndarray::ArrayView2;

use crate::decomposition::Svd;
#[cfg(not(feature = "blas"))]
use crate::jacobi;
#[cfg(feature = "blas")]
use crate::lapack;

/// The thin SVD of `a` \[m, n\]: LAPACK's with the feature `blas`, Jacobi's without.
///
/// # Errors
/// `a` holds NaN or infinity, or the iteration does not converge.
pub fn svd(a: ArrayView2<'_, f64>) -> Result<Svd> {
    #[cfg(feature = "blas")]
    return lapack::svd(a);
    #[cfg(not(feature = "blas"))]
    jacobi::svd(a)
}
