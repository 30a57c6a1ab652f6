//! VeRA: random matrices shared by all layers, and two trained vectors for each (Kopiczko, Blankevoort & Asano 2024,
//! arXiv 2310.11454).
//!
//! y = x Wᵀ + ((x Aᵀ ⊙ d) Bᵀ) ⊙ b. A \[r, in\] and B \[out, r\] are drawn once and never trained; a layer trains
//! d \[r\] and b \[out\]. There is no α.
//!
//! ```text
//! forward    u = x̃ Aᵀ                          [tokens, r]
//!            y = x Wᵀ + ((u ⊙ d) Bᵀ) ⊙ b       [tokens, out]
//! backward   ∂L/∂b = Σ ∂L/∂y ⊙ ((u ⊙ d) Bᵀ)    [out], over the tokens
//!            g = (∂L/∂y ⊙ b) B                 [tokens, r]
//!            ∂L/∂d = Σ g ⊙ u                   [r], over the tokens
//!            ∂L/∂x = ∂L/∂y W + ((g ⊙ d) A) ⊙ mask/(1 − p)
//! step       b and d follow their gradients; A, B and W stay
//! merge      ΔW = Λ_b B Λ_d A                  [out, in]
//! ```
//!
//! - `cpu.rs`: forward, backward, step, delta_weight. Read this first.
//! - `projections.rs`: A and B, and who shares them.
//! - `peft.rs`: PEFT's A and B, bit for bit, from a seed.
//!
//! ```
//! use std::sync::Arc;
//!
//! use adapter::{Adapter, tensors};
//! use ndarray::Array2;
//! use vera::{Projections, Vera};
//!
//! let projections = Arc::new(Projections::peft(0, 256, [768, 768])?);
//! let layer = Vera::<f64>::init([768, 768], 0.1, projections.clone())?;
//! assert_eq!(tensors::count(&layer), 768 + 256); // LoRA of rank 1 trains 1536
//! let weight = Array2::zeros((768, 768));
//! assert_eq!(layer.delta_weight(weight.view())?, weight); // b = 0: nothing changes before the first step
//! # Ok::<(), adapter::Error>(())
//! ```

mod cpu;
#[cfg(feature = "cuda")]
pub mod gpu;
#[cfg(feature = "cuda")]
mod kernels;
mod peft;
mod projections;

pub use cpu::{Grads, Saved, Vera};
pub use projections::{Init, Pool, Projections, Sharing};
