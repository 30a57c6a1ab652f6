//! Delta-LoRA: LoRA whose W is not frozen but follows the change of B A (Zi et al. 2023, arXiv 2309.02411).
//!
//! After each update of A and B, W moves by λ s times what B A moved. W has no gradient, no optimiser state, and needs
//! no more saved activations than LoRA.
//!
//! ```text
//! forward    y = x Wᵀ + s x Aᵀ Bᵀ        LoRA's, and so is backward
//! step       A⁺, B⁺ follow the gradients of A and B
//!            W⁺ = W + λ s (B⁺A⁺ − B A)  from update K + 1 on
//! merge      ΔW = s B A                 beside the W that has moved
//! ```
//!
//! - `cpu.rs`: the step. Read this first.
//! - `moves.rs`: what the moves of W come to over a whole run.
//!
//! ```
//! use adapter::{Adapter, Group, Sgd};
//! use delta_lora::{DeltaLora, Settings};
//! use lora::Lora;
//! use ndarray::array;
//!
//! let lora = Lora::new(array![[1.0, 0.0]], array![[0.0], [0.0]], 0.5)?; // s = 1/2
//! let settings = Settings { lambda: 2.0, start_step: 0, include_scale: true };
//! let mut delta = DeltaLora::new(lora, settings)?;
//! let mut weight = array![[1.0, 0.0], [0.0, 1.0]];
//! let grads = lora::Grads { a: array![[0.0, 0.0]], b: array![[-1.0], [-3.0]] };
//! let mut sgd = Sgd { group: Group { lr: 1.0, weight_decay: 0.0 } };
//! delta.step(&mut weight, &grads, &mut sgd)?;
//! assert_eq!(weight, array![[2.0, 0.0], [3.0, 1.0]]); // W + 2 · 1/2 · (B⁺A⁺ − BA)
//! delta.restore(&mut weight)?;
//! assert_eq!(weight, array![[1.0, 0.0], [0.0, 1.0]]);
//! # Ok::<(), adapter::Error>(())
//! ```

mod cpu;
#[cfg(feature = "cuda")]
pub mod gpu;
mod moves;

pub use cpu::{DeltaLora, Settings};
