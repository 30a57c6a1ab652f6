//! The SVD by one-sided Jacobi rotations (Hestenes 1958): the one to read.
//!
//! Rotate two columns of A in their plane until they are orthogonal; go through all pairs until every pair is. The rotated
//! matrix is A V = U Σ: its columns' lengths are the singular values, its columns' directions U, and the product of all
//! rotations V. No other method finds small singular values as exactly (Demmel & Veselić 1992).

use adapter::{Error, Result};
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut1, Axis};

use crate::decomposition::{Svd, check_finite, frobenius};

/// Convergence is quadratic once the columns are nearly orthogonal: then fewer than ten sweeps do. But a column that depends on
/// others is left with rounding errors, about ε of what it was, and again in each sweep until it counts as zero ([`VANISHING`]):
/// ten to twenty sweeps for a matrix of low rank. This number has never been seen.
const MOST_SWEEPS: usize = 60;

/// Lengths, relative to the largest entry, whose squares are lost: such columns count as zero.
const VANISHING: f64 = 1e-150;

/// The thin SVD of `a`.
///
/// # Errors
/// `a` holds NaN or infinity, or the iteration does not converge.
pub fn svd(a: ArrayView2<'_, f64>) -> Result<Svd> {
    svd_within(a, MOST_SWEEPS)
}

fn svd_within(a: ArrayView2<'_, f64>, most_sweeps: usize) -> Result<Svd> {
    check_finite("A", a)?;
    if a.nrows() < a.ncols() {
        // Aᵀ = V Σ Uᵀ, and the transpose of a wide matrix is tall.
        let Svd { u, s, vt } = svd_within(a.t(), most_sweeps)?;
        return Ok(Svd { u: vt.reversed_axes(), s, vt: u.reversed_axes() });
    }
    // A power of two brings the largest entry near 1: squares neither overflow nor vanish, and nothing is rounded.
    let largest = a.iter().fold(0.0, |max: f64, value| max.max(value.abs()));
    let exponent = if largest > 0.0 { largest.log2().floor() as i32 } else { 0 };
    let mut u = a.mapv(|value| times_power_of_two(value, -exponent)); // becomes U Σ, [m, n]
    let mut v = Array2::eye(a.ncols());
    let mut sweeps = 0;
    while sweep(&mut u, &mut v) {
        sweeps += 1;
        if sweeps == most_sweeps {
            let hint = format!("after {sweeps} sweeps two columns are not orthogonal yet");
            return Err(Error::NotConverged { name: "Jacobi's SVD".into(), hint: hint.into() });
        }
    }

    let lengths: Vec<f64> = u.axis_iter(Axis(1)).map(frobenius).collect();
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by(|&i, &j| lengths[j].total_cmp(&lengths[i]));
    let (mut u, v) = (u.select(Axis(1), &order), v.select(Axis(1), &order));
    let s: Array1<f64> = order.iter().map(|&i| lengths[i]).collect();
    normalize(&mut u, &s);
    Ok(Svd { u, s: s.mapv(|sigma| times_power_of_two(sigma, exponent)), vt: v.reversed_axes() })
}

// ANCHOR: sweep
/// Rotate every pair of columns once; false when all were orthogonal already.
fn sweep(u: &mut Array2<f64>, v: &mut Array2<f64>) -> bool {
    let mut rotated = false;
    for i in 0..u.ncols() {
        for j in i + 1..u.ncols() {
            let (p, q) = u.multi_slice_mut((ndarray::s![.., i], ndarray::s![.., j]));
            let (pp, qq, pq) = (p.dot(&p), q.dot(&q), p.dot(&q));
            let lengths = pp.sqrt() * qq.sqrt();
            // A cosine this small is the rounding error of the product itself.
            let orthogonal = pq.abs() <= p.len() as f64 * f64::EPSILON * lengths;
            if orthogonal || pp.min(qq).sqrt() <= VANISHING {
                continue;
            }
            rotated = true;
            // The smaller of the two angles that make p·q zero: tan 2θ = 2 pq/(qq − pp), written without cancellation.
            let zeta = (qq - pp) / (2.0 * pq);
            let tan = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
            let cos = 1.0 / tan.hypot(1.0);
            rotate(p, q, cos, cos * tan);
            let (p, q) = v.multi_slice_mut((ndarray::s![.., i], ndarray::s![.., j]));
            rotate(p, q, cos, cos * tan);
        }
    }
    rotated
}
// ANCHOR_END: sweep

// ANCHOR: rotate
/// (p, q) ← (cos p − sin q, sin p + cos q).
fn rotate(mut p: ArrayViewMut1<'_, f64>, mut q: ArrayViewMut1<'_, f64>, cos: f64, sin: f64) {
    ndarray::Zip::from(&mut p).and(&mut q).for_each(|p, q| {
        (*p, *q) = (cos * *p - sin * *q, sin * *p + cos * *q);
    });
}
// ANCHOR_END: rotate

/// Columns of length 1. Vanishing ones are replaced by directions orthogonal to all before them: Gram and
/// Schmidt's method, done twice, on the unit vectors.
fn normalize(u: &mut Array2<f64>, s: &Array1<f64>) {
    let mut units = 0..u.nrows();
    for i in 0..u.ncols() {
        if s[i] > VANISHING {
            u.column_mut(i).mapv_inplace(|value| value / s[i]);
            continue;
        }
        for unit in units.by_ref() {
            let mut column = Array1::zeros(u.nrows());
            column[unit] = 1.0;
            let before = u.slice(ndarray::s![.., ..i]);
            for _ in 0..2 {
                column = &column - &before.dot(&before.t().dot(&column));
            }
            let length = frobenius(&column);
            // At least one unit vector keeps this much, or the columns before would span everything.
            if length * length * (u.nrows() as f64) >= 0.5 {
                u.column_mut(i).assign(&(column / length));
                break;
            }
        }
    }
}

/// x·2ᵉ in two exact steps, since 2ᵉ alone can overflow.
fn times_power_of_two(x: f64, exponent: i32) -> f64 {
    let half = exponent / 2;
    x * 2f64.powi(half) * 2f64.powi(exponent - half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_sweeps_are_an_error_of_their_own() {
        let a = ndarray::array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]];
        for a in [a.view(), a.t()] {
            let error = svd_within(a, 1).unwrap_err();
            assert!(matches!(error, Error::NotConverged { .. }), "{error}");
            assert!(
                error.to_string().starts_with("Jacobi's SVD did not converge: after 1"),
                "{error}"
            );
            assert!(svd_within(a, MOST_SWEEPS).is_ok());
        }
    }

    /// Of 24 columns: all independent; and all multiples of one, with 23 to bring from ε to 1e-150.
    #[test]
    fn dependent_columns_take_more_sweeps() {
        let sweeps = |entry: fn(f64, f64) -> f64| {
            let a = Array2::from_shape_fn((24, 24), |(i, j)| entry(1.0 + i as f64, 1.0 + j as f64));
            let enough = (1..=MOST_SWEEPS).find(|&most| svd_within(a.view(), most).is_ok());
            enough.unwrap() - 1 // the last finds nothing to rotate
        };
        let independent = sweeps(|i, j| (i * (j + 1.0)).sin());
        assert!((5..=10).contains(&independent), "{independent}");
        let dependent = sweeps(|i, j| i * j);
        assert!((11..=30).contains(&dependent), "{dependent}");
    }
}
