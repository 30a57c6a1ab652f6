//! DoRA: weight-decomposed low-rank adaptation (Liu et al. 2024, arXiv 2402.09353).
//!
//! Every row of a weight W \[out, in\] has a direction and a length. LoRA's s B A turns the direction; a vector m \[out\]
//! is the length: W′ = m/‖W + s B A‖ ⊙ (W + s B A), row by row. Beside LoRA it trains `out` numbers more.
//!
//! ```text
//! forward    V = W + s B A, n = ‖V‖, c = m/n     row by row: [out, in], [out], [out]
//!            y = c ⊙ (x Wᵀ + s x Aᵀ Bᵀ)          [tokens, out], without dropout
//! backward   n is held constant, as in section 4.3 of the paper
//!            ∂L/∂m = Σ ∂L/∂y ⊙ (x Vᵀ) / n        [out], over the tokens
//!            the rest is LoRA's, for c ⊙ ∂L/∂y
//! step       m, A and B follow their gradients, W stays
//! merge      ΔW = c ⊙ V − W                      [out, in]
//! ```
//!
//! - `cpu.rs`: forward, backward, delta_weight. The step is the plain one. Read this first.
//! - `unmerge.rs`: how a merge is undone, for which the merged weight alone is not enough.
//!
//! ```
//! use adapter::Adapter;
//! use dora::Dora;
//! use lora::Lora;
//! use ndarray::array;
//!
//! let weight = array![[3.0, 4.0], [0.0, 2.0]];
//! let lora = Lora::new(array![[1.0, 0.0]], array![[0.0], [0.0]], 1.0)?;
//! let mut dora = Dora::init(weight.view(), lora)?;
//! assert_eq!(dora.magnitude, array![5.0, 2.0]); // the lengths of W's rows: nothing changes at the start
//! let x = array![[1.0, 1.0]].into_shared();
//! assert_eq!(dora.forward(weight.view(), &x, None)?.0, array![[7.0, 2.0]]);
//!
//! dora.lora.b = array![[-3.0], [2.0]]; // W + s B A is now [[0, 4], [2, 2]]
//! let (y, _) = dora.forward(weight.view(), &x, None)?;
//! assert_eq!(y[[0, 0]], 5.0); // the first row points along (0, 1), and is as long as before
//! # Ok::<(), adapter::Error>(())
//! ```

mod cpu;
mod unmerge;

pub use cpu::{Dora, Grads, Saved};
