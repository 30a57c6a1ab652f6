//! Adapters looked into, and made anew: what their ΔW is like, and others with nearly or exactly the same.
//!
//! # The core
//! An adapter's ΔW = s B A is a matrix of out × in numbers that is made of r (out + in). Everything here is computed from
//! those, without multiplying them. With the thin QR decompositions s B = Q_B R_B and Aᵀ = Q_A R_A,
//!
//! ```text
//! ΔW = Q_B (R_B R_Aᵀ) Q_Aᵀ        core = R_B R_Aᵀ, [r, r]
//! ```
//!
//! Q_B and Q_A have orthonormal columns. So ΔW has the core's singular values and no others but 0, and its singular vectors
//! are Q_B and Q_A times the core's ([`rank::product`]). For r = 16 on a 4096 × 4096 weight the core has 256 numbers, and
//! ΔW 16.8 million.
//!
//! | what | here | how |
//! |---|---|---|
//! | [`inspect()`] | singular values, ranks, norms, dead modules, what a bf16 merge loses | the core |
//! | [`similarity()`] | cosine of two ΔW, and the φ of their subspaces | r × r′ products, two cores |
//! | [`resize()`] | the nearest adapter of lower rank | the core, cut off (Eckart & Young) |
//! | [`combine()`] | w₁ ΔW₁ + w₂ ΔW₂ | stacking; and cut off where a rank is wanted |
//! | [`extract()`] | W′ − W of two models as an adapter | a dense SVD, since no factors are known |
//!
//! VeRA's ΔW = Λ_b B Λ_d A goes the same way, with Λ_b B Λ_d in the place of s B. DoRA's does not: it divides each row of
//! W + s B A by its length, so ΔW depends on W and has full rank in general. [`inspect()`] decomposes it densely when the model
//! is given; [`resize()`] and [`combine()`] refuse it.
//!
//! ```
//! use inspect::Factors;
//! use lora::Lora;
//! use ndarray::array;
//!
//! let lora = Lora::new(array![[0.6, 0.8, 0.0]], array![[3.0], [4.0]], 2.0)?;
//! let delta = Factors::of_lora(&lora);
//! assert!((delta.svd()?.s[0] - 10.0).abs() < 1e-14); // 2 · ‖(3, 4)‖ · ‖(0.6, 0.8, 0)‖
//!
//! let twice = Factors::sum(&[(1.0, &delta), (1.0, &delta)])?;
//! assert_eq!(twice.rank(), 2); // stacked …
//! assert!(twice.svd()?.s[1] < 1e-14); // … but still one direction
//! # Ok::<(), adapter::Error>(())
//! ```

mod combine;
mod error;
mod extract;
mod factors;
mod fit;
mod folder;
mod report;
mod resize;
mod similarity;
mod weights;

pub use combine::combine;
pub use error::{Error, Result};
pub use extract::{Outside, extract};
pub use factors::Factors;
pub use fit::{Budget, Fit, Fitted, check_empty};
pub use folder::{Folder, Module};
pub use report::{ModuleReport, PEFT_DTYPES, Total, inspect, numerical_rank};
pub use resize::resize;
pub use similarity::{Similarity, similarity};
pub use weights::Weights;
