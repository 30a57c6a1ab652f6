//! The leading singular values and vectors of a large matrix from a random sample of its columns' span.
//!
//! Halko, Martinsson & Tropp 2011, *Finding structure with randomness* (arXiv 0909.4061), algorithms 4.4 and 5.1.

use adapter::{Error, Result};
use ndarray::{Array2, ArrayView2, s};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::decomposition::{Svd, check_finite};
use crate::svd::svd as exact_svd;

/// How much is computed beyond the rank that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// p: extra columns in the sample. 5 to 10 is usual.
    pub oversampling: usize,
    /// q: how often A Aᵀ is applied; each makes large singular values stand out more. 1 or 2 is usual.
    pub power_iterations: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self { oversampling: 10, power_iterations: 2 }
    }
}

/// The `k` leading singular triplets of `a`, nearly.
///
/// Y = (A Aᵀ)^q A Ω with a Gaussian Ω \[n, k + p\], Q an orthonormal basis of Y, then the exact SVD of the small Qᵀ A.
/// With q = 0 and p ≥ 2 the expected error is E‖A − Q Qᵀ A‖_F ≤ √(1 + k/(p − 1)) · √(σₖ₊₁² + …), theorem 10.5.
///
/// # Errors
/// `k` exceeds min(m, n), `a` holds NaN or infinity, or the iteration of an SVD does not converge.
pub fn svd(a: ArrayView2<'_, f64>, k: usize, effort: Effort, rng: &mut impl Rng) -> Result<Svd> {
    check_finite("A", a)?;
    let smaller = a.nrows().min(a.ncols());
    if k > smaller {
        let hint = format!("the matrix has only {smaller} singular values");
        return Err(Error::value("k", k, hint));
    }
    let columns = k.saturating_add(effort.oversampling).min(smaller);
    let omega = Array2::from_shape_simple_fn((a.ncols(), columns), || StandardNormal.sample(rng));
    let mut q = orthonormal(a.dot(&omega))?; // [m, n]·[n, k + p] → [m, k + p]
    for _ in 0..effort.power_iterations {
        // An orthonormal basis after each product: without it all columns turn into the first singular vector.
        q = orthonormal(a.t().dot(&q))?;
        q = orthonormal(a.dot(&q))?;
    }
    let Svd { u, s, vt } = exact_svd(q.t().dot(&a).view())?; // of [k + p, n]
    Ok(Svd {
        u: q.dot(&u.slice(s![.., ..k])), // [m, k + p]·[k + p, k] → [m, k]
        s: s.slice(s![..k]).to_owned(),
        vt: vt.slice(s![..k, ..]).to_owned(),
    })
}

/// An orthonormal basis of the columns' span.
fn orthonormal(y: Array2<f64>) -> Result<Array2<f64>> {
    Ok(exact_svd(y.view())?.u)
}
