//! LoRA: low-rank adaptation (Hu et al. 2021, arXiv 2106.09685).
//!
//! A weight W \[out, in\] stays frozen. Beside it a product of two thin matrices is trained, B \[out, r\] and
//! A \[r, in\]: y = x Wᵀ + s x Aᵀ Bᵀ. With r = 8 and in = out = 4096 that is 65,536 numbers instead of 16.8 million.
//!
//! ```text
//! forward    h = x̃ Aᵀ              [tokens, r]      x̃ = dropout(x)
//!            y = x Wᵀ + s h Bᵀ     [tokens, out]    s = α/r, or α/√r
//! backward   ∂L/∂h = s ∂L/∂y B     [tokens, r]
//!            ∂L/∂A = (∂L/∂h)ᵀ x̃    [r, in]
//!            ∂L/∂B = s (∂L/∂y)ᵀ h  [out, r]
//!            ∂L/∂x = ∂L/∂y W + (∂L/∂h A) ⊙ mask/(1 − p)
//! step       A and B follow their gradients, W stays
//! merge      ΔW = s B A            [out, in]
//! ```
//!
//! - `cpu.rs`: forward, backward, step, delta_weight. Read this first.
//! - `init.rs`: how A and B start, and what s is.
//!
//! ```
//! use adapter::Adapter;
//! use lora::{Init, Lora, Scaling};
//! use ndarray::Array2;
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//!
//! let mut rng = ChaCha8Rng::seed_from_u64(0);
//! let weight = Array2::<f64>::eye(6);
//! let lora = Lora::init([6, 6], 2, 4.0, Scaling::AlphaOverR, Init::default(), &mut rng)?;
//! let x = Array2::ones((3, 6)).into_shared();
//! let (y, _saved) = lora.forward(weight.view(), &x, None)?;
//! assert_eq!(y, x.dot(&weight.t())); // B = 0: nothing changes before the first step
//! # Ok::<(), adapter::Error>(())
//! ```

mod cpu;
#[cfg(feature = "cuda")]
pub mod gpu;
mod init;

pub use cpu::{Grads, Lora, Saved};
pub use init::{Init, Scaling};
