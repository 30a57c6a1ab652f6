//! Low-rank fine-tuning in ndarray, every derivative by hand: LoRA, LoRA-FA, VeRA, Delta-LoRA, LoRA+ and DoRA.
//!
//! This crate only gathers the others, each of which stands alone and keeps its name.
//!
//! | here | what | feature |
//! |---|---|---|
//! | [`adapter`] | the trait [`Adapter`](adapter::Adapter) and its four functions, optimisers, losses, gradient checks | |
//! | [`lora`], [`lora_fa`], [`vera`], [`delta_lora`], [`lora_plus`], [`dora`] | the methods | |
//! | [`rank`] | rank, SVD, the best low-rank approximation and its error bounds | |
//! | `llama`, `peft`, `methods`, `finetune` | a transformer, PEFT's folders, the list of methods, training runs | `transformer` |
//! | `inspect` | spectra of adapters; extract, resize, combine | `inspect` |
//! | `oracle` | cases with exact answers, derived bounds, verdicts | `oracle` |
//! | `cuda` | the same functions on a GPU, as `lora::gpu` and so on | `cuda` |
//!
//! `threads` computes large products on all cores; `blas` does too, and takes the others from OpenBLAS. Arrays are those of [`ndarray`], which is here too, so that the versions agree.
//!
//! Ten lines that teach a frozen layer a change of rank 1:
//!
//! ```
//! use lowrank::adapter::{AdamVariant, AdamW, Adapter, Group};
//! use lowrank::lora::{Init, Lora, Scaling};
//! use lowrank::ndarray::{Array2, Axis, array};
//! # use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//!
//! let mut weight = Array2::<f64>::eye(3); // W [out, in]
//! let x = array![[1.0, 0.0, 2.0], [0.0, 1.0, 1.0], [3.0, 1.0, 0.0]].into_shared(); // [tokens, in]
//! let wanted = x.dot(&weight.t()) + x.sum_axis(Axis(1)).insert_axis(Axis(1)); // of W + a matrix of ones
//!
//! let mut rng = ChaCha8Rng::seed_from_u64(0);
//! let mut lora = Lora::init([3, 3], 1, 2.0, Scaling::AlphaOverR, Init::default(), &mut rng)?;
//! let mut adamw = AdamW::new(Group { lr: 0.05, weight_decay: 0.0 }, AdamVariant::Torch);
//! for _ in 0..300 {
//!     let (y, saved) = lora.forward(weight.view(), &x, None)?;
//!     let grad_y = y - &wanted; // of half the squared error
//!     let (_, grads) = lora.backward(weight.view(), &saved, grad_y.view())?;
//!     lora.step(&mut weight, &grads, &mut adamw)?;
//! }
//! lora.merge(&mut weight)?;
//! let wanted = Array2::<f64>::eye(3) + 1.0;
//! assert!((weight - wanted).iter().all(|error| error.abs() < 1e-3));
//! # Ok::<(), lowrank::adapter::Error>(())
//! ```

pub use adapter;
pub use delta_lora;
pub use dora;
pub use lora;
pub use lora_fa;
pub use lora_plus;
pub use ndarray;
pub use rank;
pub use vera;

#[cfg(feature = "cuda")]
pub use cuda;
#[cfg(feature = "inspect")]
pub use inspect;
#[cfg(feature = "oracle")]
pub use oracle;
#[cfg(feature = "transformer")]
pub use {finetune, llama, methods, peft};
