//! The frozen layer under every adapter: y = x Wᵀ.

use ndarray::{Array2, ArrayView2};

use crate::parallel::multiply;
use crate::{Real, Result, check_shape};

/// y = x Wᵀ: \[tokens, in\]·\[in, out\] → \[tokens, out\].
///
/// # Errors
/// `x` and `weight` \[out, in\] disagree on in.
pub fn forward<T: Real>(weight: ArrayView2<'_, T>, x: ArrayView2<'_, T>) -> Result<Array2<T>> {
    let want = [x.nrows(), weight.ncols()];
    check_shape("x", x.shape(), &want, "[tokens, in], with in from weight [out, in]")?;
    Ok(multiply(x, weight.t()))
}

/// ∂L/∂x = ∂L/∂y W: \[tokens, out\]·\[out, in\] → \[tokens, in\].
///
/// # Errors
/// `grad_y` and `weight` \[out, in\] disagree on out.
pub fn backward<T: Real>(
    weight: ArrayView2<'_, T>,
    grad_y: ArrayView2<'_, T>,
) -> Result<Array2<T>> {
    let want = [grad_y.nrows(), weight.nrows()];
    check_shape("grad_y", grad_y.shape(), &want, "[tokens, out], with out from weight [out, in]")?;
    Ok(multiply(grad_y, weight))
}
