//! How many directions a matrix really has: rank, SVD, the best low-rank approximation, and how alike two subspaces
//! are.
//!
//! A = U Σ Vᵀ with orthonormal columns in U \[m, k\] and V \[n, k\], k = min(m, n), and σ₁ ≥ σ₂ ≥ … ≥ 0. Everything
//! here is read off the singular values σ:
//!
//! | what | is | source |
//! |---|---|---|
//! | [`Svd::rank`] | how many σ exceed a tolerance | the rules of numpy, MATLAB and Numerical Recipes |
//! | [`Svd::truncate`] | the nearest matrix of rank k, off by σₖ₊₁ and √Σσ² | Eckart & Young 1936, Mirsky 1960 |
//! | [`Svd::effective_rank`] | exp of the entropy of σ/Σσ | Roy & Vetterli 2007 |
//! | [`Svd::stable_rank`] | Σσ²/σ₁² | Rudelson & Vershynin 2007 |
//! | [`frobenius`] | ‖A‖_F = √Σσ², from the entries | |
//! | [`product::svd`] | the SVD of a product B A of thin matrices, without the product | from two QR decompositions |
//! | [`subspace::similarity`] | φ, the mean squared cosine of the principal angles | Hu et al. 2021, section 7.2 |
//! | [`subspace::principal_angles`] | the angles between two subspaces | Björck & Golub 1973 |
//!
//! There are two SVDs: `lapack::svd`, through ndarray-linalg, is the one to use; [`jacobi::svd`] is the one to read.
//! [`svd`](svd()) takes the first when the feature `blas` is on. So it is with [`qr`](qr()) and [`householder`]. [`randomized::svd`] finds the leading part of a large
//! matrix. Everything is `f64`.

mod decomposition;
pub mod jacobi;
#[cfg(feature = "blas")]
pub mod lapack;
pub mod product;
mod qr;
pub mod randomized;
pub mod subspace;
mod svd;

pub use decomposition::{Approximation, Qr, Svd, Tolerance, frobenius};
pub use qr::{householder, qr};
pub use svd::svd;
