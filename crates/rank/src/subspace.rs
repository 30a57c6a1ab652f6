//! How alike two subspaces are.

use adapter::{Error, Result, check_shape};
use ndarray::{Array1, ArrayView2};

use crate::decomposition::check_finite;
use crate::svd::svd;

/// φ = ‖U_Aᵀ U_B‖²_F / min(i, j): the mean squared cosine of the principal angles between the spans of the columns of
/// `u_a` \[n, i\] and `u_b` \[n, j\], both orthonormal. 1 when the smaller span lies in the larger, 0 at right angles.
///
/// Hu et al. 2021 (LoRA), section 7.2 and appendix G. For random subspaces of Rⁿ the expectation is max(i, j)/n.
///
/// # Errors
/// The two live in spaces of different dimensions, one has no column or is not orthonormal, or holds NaN.
pub fn similarity(u_a: ArrayView2<'_, f64>, u_b: ArrayView2<'_, f64>) -> Result<f64> {
    check(u_a, u_b)?;
    let smaller = u_a.ncols().min(u_b.ncols());
    let squares: f64 = u_a.t().dot(&u_b).iter().map(|product| product * product).sum();
    Ok(squares / smaller as f64)
}

/// The principal angles, smallest first, in radians, \[min(i, j)\] (Björck & Golub 1973).
///
/// The cosines are the singular values of U_Aᵀ U_B; near 0, where a cosine says little about its angle, the sines are
/// used: the singular values of what U_B has outside U_A.
///
/// # Errors
/// The two live in spaces of different dimensions, one has no column or is not orthonormal, or holds NaN; or the iteration of
/// an SVD does not converge.
pub fn principal_angles(u_a: ArrayView2<'_, f64>, u_b: ArrayView2<'_, f64>) -> Result<Array1<f64>> {
    check(u_a, u_b)?;
    if u_a.ncols() < u_b.ncols() {
        return principal_angles(u_b, u_a);
    }
    let along = u_a.t().dot(&u_b); // [i, n]·[n, j] → [i, j]
    let outside = &u_b - &u_a.dot(&along); // [n, j]
    let cosines = svd(along.view())?.s;
    let mut sines = svd(outside.view())?.s;
    sines.invert_axis(ndarray::Axis(0)); // the smallest angle has the largest cosine and the smallest sine
    let angle = |(&cos, &sin): (&f64, &f64)| {
        if cos * cos > 0.5 { sin.min(1.0).asin() } else { cos.min(1.0).acos() }
    };
    Ok(cosines.iter().zip(&sines).map(angle).collect())
}

fn check(u_a: ArrayView2<'_, f64>, u_b: ArrayView2<'_, f64>) -> Result<()> {
    let want = [u_a.nrows(), u_b.ncols()];
    check_shape("U_B", u_b.shape(), &want, "as many rows as U_A: the same space")?;
    for (name, u) in [("U_A", u_a), ("U_B", u_b)] {
        check_finite(name, u)?;
        if u.ncols() == 0 {
            return Err(Error::value(name, "without columns", "a subspace needs at least one"));
        }
        // Orthonormal up to the rounding of a decomposition.
        let tolerance = 1e3 * u.nrows() as f64 * f64::EPSILON;
        let gram = u.t().dot(&u);
        let orthonormal = gram.indexed_iter().all(|((i, j), product)| {
            let want = if i == j { 1.0 } else { 0.0 };
            (product - want).abs() <= tolerance
        });
        if !orthonormal {
            let hint = "take the columns of U of an SVD, or of Q of a QR decomposition";
            return Err(Error::value(name, "not orthonormal", hint));
        }
    }
    Ok(())
}
