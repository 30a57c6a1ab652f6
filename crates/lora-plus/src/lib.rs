//! LoRA+: LoRA whose B learns faster than A (Hayou, Ghosh & Yu 2024, arXiv 2402.12354).
//!
//! Forward, backward and ΔW are LoRA's. What is new is which learning rate and which weight decay each tensor gets.
//!
//! ```text
//! forward    y = x Wᵀ + s x̃ Aᵀ Bᵀ       LoRA's, and so is backward
//! step       A follows ∂L/∂A at the rate η
//!            B follows ∂L/∂B at the rate λ η
//! merge      ΔW = s B A
//! ```
//!
//! - `cpu.rs`: the step.
//! - `groups.rs`: rates and decay by tensor.
//! - `task.rs`: a task on which pairs of rates can be tried. `toy.rs`: the paper's toy model.
//!
//! The paper's two starts are `lora::Init::KaimingUniformA5` (its Init\[1\]: A random, B = 0) and
//! `lora::Init::KaimingUniformB` (its Init\[2\]: B random, A = 0).
//!
//! ```
//! use adapter::{Adapter, Group, Sgd};
//! use lora_plus::{Groups, LoraPlus};
//! use lora::Lora;
//! use ndarray::array;
//!
//! let lora = Lora::new(array![[1.0, 2.0]], array![[3.0], [4.0]], 1.0)?;
//! let mut lora_plus = LoraPlus { lora, groups: Groups::new(16.0)? };
//! let mut weight = array![[1.0, 0.0], [0.0, 1.0]];
//! let grads = lora::Grads { a: array![[1.0, 1.0]], b: array![[1.0], [1.0]] };
//! let mut sgd = Sgd { group: Group { lr: 0.125, weight_decay: 0.0 } };
//! lora_plus.step(&mut weight, &grads, &mut sgd)?;
//! assert_eq!(lora_plus.lora.a, array![[0.875, 1.875]]); // moved by 0.125
//! assert_eq!(lora_plus.lora.b, array![[1.0], [2.0]]);   // moved by 16 · 0.125
//! # Ok::<(), adapter::Error>(())
//! ```

mod cpu;
#[cfg(feature = "cuda")]
pub mod gpu;
mod groups;
pub mod task;
pub mod toy;

pub use cpu::LoraPlus;
pub use groups::{Groups, Kind, Rule};
