//! Two decompositions, and what is read off the singular values.

use adapter::{Error, Real, Result};
use ndarray::{Array1, Array2, ArrayView2, Axis, s};

/// A thin SVD: A = U Σ Vᵀ.
#[derive(Clone, Debug, PartialEq)]
pub struct Svd {
    /// Left singular vectors in columns, \[m, k\].
    pub u: Array2<f64>,
    /// Singular values, largest first, \[k\].
    pub s: Array1<f64>,
    /// Right singular vectors in rows, \[k, n\].
    pub vt: Array2<f64>,
}

/// A thin QR decomposition, A \[m, n\] = Q R with k = min(m, n).
#[derive(Clone, Debug, PartialEq)]
pub struct Qr {
    /// Orthonormal columns, \[m, k\].
    pub q: Array2<f64>,
    /// Zero below its diagonal, \[k, n\].
    pub r: Array2<f64>,
}

/// Below which a singular value counts as zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Tolerance {
    /// max(m, n)·ε·σ₁, `numpy.linalg.matrix_rank`'s.
    #[default]
    Numpy,
    /// max(m, n)·ulp(σ₁), MATLAB's `rank`: between half of numpy's and all of it.
    Matlab,
    /// σ₁·(ε/2)·√(m + n + 1), of *Numerical Recipes*: the size that rounding errors are expected to have.
    NumericalRecipes,
    /// A number of your own.
    Absolute(f64),
}

/// A matrix of low rank in the place of another, and how far off it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Approximation {
    /// The matrix, \[m, n\].
    pub matrix: Array2<f64>,
    /// ‖A − matrix‖ in the spectral norm, σₖ₊₁.
    pub spectral_error: f64,
    /// ‖A − matrix‖ in the Frobenius norm, √(σₖ₊₁² + σₖ₊₂² + …).
    pub frobenius_error: f64,
}

impl Svd {
    /// How many singular values exceed the tolerance.
    pub fn rank(&self, tolerance: Tolerance) -> usize {
        let (m, n) = (self.u.nrows(), self.vt.ncols());
        let largest = self.s.first().copied().unwrap_or(0.0);
        let tolerance = match tolerance {
            Tolerance::Numpy => m.max(n) as f64 * f64::EPSILON * largest,
            Tolerance::Matlab => m.max(n) as f64 * (largest.next_up() - largest),
            Tolerance::NumericalRecipes => {
                largest * (f64::EPSILON / 2.0) * ((m + n + 1) as f64).sqrt()
            }
            Tolerance::Absolute(tolerance) => tolerance,
        };
        self.s.iter().filter(|&&sigma| sigma > tolerance).count()
    }

    // ANCHOR: truncate
    /// The nearest matrix of rank at most `k`, in every norm that rotations do not change (Eckart & Young 1936;
    /// Mirsky 1960): keep the k largest singular values.
    ///
    /// # Errors
    /// `k` exceeds min(m, n).
    pub fn truncate(&self, k: usize) -> Result<Approximation> {
        self.check_rank(k)?;
        let scaled = &self.u.slice(s![.., ..k]) * &self.s.slice(s![..k]); // U Σ, [m, k]
        Ok(Approximation {
            matrix: scaled.dot(&self.vt.slice(s![..k, ..])), // [m, k]·[k, n] → [m, n]
            spectral_error: self.s.get(k).copied().unwrap_or(0.0),
            frobenius_error: self.tail(k),
        })
    }
    // ANCHOR_END: truncate

    // ANCHOR: factors
    /// The same approximation as two thin matrices, B \[m, k\] and A \[k, n\], each with a half of every singular value:
    /// B = U √Σ and A = √Σ Vᵀ. So both have the same norm, and columns and rows are sorted by their weight.
    ///
    /// # Errors
    /// `k` exceeds min(m, n).
    pub fn factors(&self, k: usize) -> Result<[Array2<f64>; 2]> {
        self.check_rank(k)?;
        let root = self.s.slice(s![..k]).mapv(f64::sqrt);
        let b = &self.u.slice(s![.., ..k]) * &root; // [m, k]
        let a = &self.vt.slice(s![..k, ..]) * &root.insert_axis(Axis(1)); // [k, n]
        Ok([b, a])
    }
    // ANCHOR_END: factors

    /// √(σₖ₊₁² + σₖ₊₂² + …): how far the best approximation of rank `k` is off, in the Frobenius norm.
    pub fn tail(&self, k: usize) -> f64 {
        frobenius(self.s.iter().skip(k))
    }

    /// The smallest rank whose best approximation keeps this share of ‖A‖²_F, 0 to 1: with 0.99 it is off by at most a
    /// tenth of ‖A‖_F, √0.01. What rounding alone could have left, by numpy's tolerance, is not kept even with 1.
    pub fn rank_for_energy(&self, energy: f64) -> usize {
        let allowed = (1.0 - energy).max(0.0).sqrt() * self.frobenius_norm();
        let rank = self.rank(Tolerance::Numpy);
        (0..rank).find(|&k| self.tail(k) <= allowed).unwrap_or(rank)
    }

    fn check_rank(&self, k: usize) -> Result<()> {
        if k <= self.s.len() {
            return Ok(());
        }
        let hint = format!("the matrix has only {} singular values", self.s.len());
        Err(Error::value("k", k, hint))
    }

    /// exp(−Σ p ln p) with p = σ/Σσ (Roy & Vetterli 2007): how many singular values there would be, were they all
    /// equally large. Between 1 and the rank; 0 for the zero matrix.
    pub fn effective_rank(&self) -> f64 {
        let largest = self.s.first().copied().unwrap_or(0.0);
        if largest == 0.0 {
            return 0.0;
        }
        // Relative to σ₁, so that nothing overflows or vanishes.
        let relative = self.s.mapv(|sigma| sigma / largest);
        let p = &relative / relative.sum();
        let entropy: f64 = p.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum();
        entropy.exp()
    }

    /// ‖A‖²_F / σ₁² (Rudelson & Vershynin 2007). Between 1 and the rank, and unlike the rank it hardly moves when
    /// the matrix does; 0 for the zero matrix.
    pub fn stable_rank(&self) -> f64 {
        let largest = self.s.first().copied().unwrap_or(0.0);
        if largest == 0.0 {
            return 0.0;
        }
        self.s.iter().map(|sigma| (sigma / largest).powi(2)).sum()
    }

    /// ‖A‖_F.
    pub fn frobenius_norm(&self) -> f64 {
        frobenius(&self.s)
    }
}

/// ‖A‖_F = √Σaᵢⱼ², of a matrix or of any other numbers. No square overflows or vanishes.
///
/// ```
/// let huge = 2f64.powi(600); // its square is infinite
/// assert_eq!(rank::frobenius(&ndarray::array![[3.0 * huge, 0.0], [0.0, -4.0 * huge]]), 5.0 * huge);
/// ```
pub fn frobenius<'a, T: Real>(numbers: impl IntoIterator<Item = &'a T>) -> f64 {
    numbers.into_iter().fold(0.0, |norm: f64, number| norm.hypot(number.to_f64()))
}

pub(crate) fn check_finite(name: &'static str, a: ArrayView2<'_, f64>) -> Result<()> {
    if a.iter().all(|value| value.is_finite()) {
        return Ok(());
    }
    let hint = "singular values exist for finite matrices only";
    Err(Error::NotFinite { name: name.into(), hint: hint.into() })
}
