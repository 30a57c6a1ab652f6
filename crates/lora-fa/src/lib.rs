//! LoRA-FA: LoRA with A frozen (Zhang et al. 2023, arXiv 2308.03303).
//!
//! y = x Wᵀ + s x Aᵀ Bᵀ as in LoRA, but only B \[out, r\] is trained. ∂L/∂B needs x Aᵀ \[tokens, r\] and not
//! x \[tokens, in\]: with in = 4096 and r = 64 that is a 65th of what LoRA keeps.
//!
//! ```text
//! forward    h = x̃ Aᵀ              [tokens, r]      kept; x is not
//!            y = x Wᵀ + s h Bᵀ     [tokens, out]
//! backward   ∂L/∂B = s (∂L/∂y)ᵀ h  [out, r]
//!            ∂L/∂x = ∂L/∂y W + (s ∂L/∂y B A) ⊙ mask/(1 − p)
//! step       B follows ∂L/∂B, or ∂L/∂B (A Aᵀ)⁻¹ / s²; A and W stay
//! merge      ΔW = s B A            [out, in]
//! ```
//!
//! - `cpu.rs`: forward, backward, step, delta_weight. Read this first.
//! - `init.rs`: LoRA's start with A frozen.
//! - `cholesky.rs`: how G (A Aᵀ)⁻¹ is solved, for the projected variant.
//!
//! ```
//! use adapter::{Adapter, Ledger};
//! use lora::{Init, Lora, Scaling};
//! use lora_fa::{LoraFa, Variant};
//! use ndarray::Array2;
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//!
//! let mut rng = ChaCha8Rng::seed_from_u64(0);
//! let lora = Lora::<f64>::init([48, 64], 2, 4.0, Scaling::AlphaOverR, Init::default(), &mut rng)?;
//! let lora_fa = LoraFa::new(lora.a.clone(), lora.b.clone(), lora.scale, Variant::Plain)?;
//! let (weight, x) = (Array2::ones((48, 64)), Array2::ones((10, 64)).into_shared());
//! let (y, kept_by_lora) = lora.forward(weight.view(), &x, None)?;
//! let (same, kept) = lora_fa.forward(weight.view(), &x, None)?;
//! assert_eq!(y, same);
//! assert_eq!(Ledger::of(&kept_by_lora), 8 * 10 * (64 + 2));
//! assert_eq!(Ledger::of(&kept), 8 * 10 * 2);
//! # Ok::<(), adapter::Error>(())
//! ```

mod cholesky;
mod cpu;
#[cfg(feature = "cuda")]
pub mod gpu;
mod init;

pub use cholesky::Cholesky;
pub use cpu::{Grads, LoraFa, Saved, Variant};
