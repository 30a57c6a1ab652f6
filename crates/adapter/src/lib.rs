//! What every fine-tuning method of this workspace is made of. No method lives here, but the baseline of all.
//!
//! | here | what |
//! |---|---|
//! | [`Adapter`] | the four functions of a method: forward, backward, step, delta_weight |
//! | [`Full`] | full fine-tuning, the baseline |
//! | [`Tensors`] | named tensors: what is counted, saved, clipped, accumulated, checked |
//! | [`Optimizer`], [`Sgd`], [`AdamW`], [`Schedule`] | how parameters move |
//! | [`cross_entropy`] | the loss |
//! | [`Dropout`] | an explicit mask |
//! | [`gradcheck`], [`Dual`] | is a hand-written derivative right? |
//! | [`Ledger`] | bytes kept for the backward pass, a shared input counted once |
//! | [`Real`] | `f32`, `f64`, dual numbers |
//!
//! # Notation
//! The same in the book, the code and the test vectors. Rows are tokens; everything is row-major.
//!
//! | symbol | identifier | shape |
//! |---|---|---|
//! | x | `x` | \[tokens, in\] |
//! | W | `weight` | \[out, in\], y = x Wᵀ |
//! | ∂L/∂y | `grad_y` | as y |
//!
//! # Features
//! `threads`: large products by the crate `matmul`, rows and heads, on all cores. `blas`: that, and the other products
//! through OpenBLAS. Without them everything runs on ndarray's own kernels, also in a browser.

mod adamw;
mod adapter;
mod bytes;
mod dropout;
mod dual;
mod error;
mod exp;
mod full;
pub mod gradcheck;
pub mod linear;
mod loss;
mod optimizer;
pub mod parallel;
mod real;
mod schedule;
mod softmax;
pub mod tensors;

pub use crate::adapter::Adapter;
pub use adamw::{AdamVariant, AdamW, Moments};
pub use bytes::{Bytes, Ledger};
pub use dropout::Dropout;
pub use dual::Dual;
pub use error::{Error, Result, check_shape};
pub use full::{Full, FullGrads, FullSaved};
pub use loss::{cross_entropy, cross_entropy_loss};
pub use optimizer::{Group, Optimizer, Scope, Sgd};
pub use real::Real;
pub use schedule::{Decay, Schedule};
pub use softmax::exponentials;
pub use tensors::Tensors;
