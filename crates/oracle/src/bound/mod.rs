//! How far an honest implementation may be off: what a rounding is, and how many a term goes through.
//!
//! # The argument, once for all outputs
//! Each output is a sum of *terms*, products of numbers of the case: y is Σ x W and Σ s x̃ A B. Write fl(v) = v (1 + δ)
//! with |δ| ≤ u/(1 + u) for one rounding to nearest, u being half the distance from 1 to the next number. A term that goes
//! through k roundings is multiplied by k such factors, or divided, where it passes through the denominator. Now
//! 1 + u/(1 + u) < 1 + u and 1/(1 − u/(1 + u)) = 1 + u, so the product of the factors lies between (1 + u)^−k and
//! (1 + u)^k, and differs from 1 by at most (1 + u)^k − 1: for every k and every u, without the condition k u < 1 that the
//! usual γ_k = k u/(1 − k u) has. So
//!
//! ```text
//! |computed − exact| ≤ ((1 + u_a)^k_a (1 + u_s)^k_s − 1) · Σ |term|
//! ```
//!
//! with k_a roundings of the accumulator (unit u_a) and k_s roundings of what is stored (unit u_s). Σ |term| is the
//! *gauge*: the method itself, computed on absolute values.
//!
//! # Which orders of summation this covers
//! All. A sum of n products, associated in whatever way, takes each term through at most n roundings: its product and
//! n − 1 additions. A fused multiply-add rounds less. Two products summed in one (`[x, s h]·[W, B]ᵀ`, or a GEMM that adds
//! to its output) take a term through n + r. Not covered: algorithms that compute with sums of inputs (Strassen,
//! Winograd).
//!
//! Where a sum is cut off instead of rounded, as in tensor cores, |δ| ≤ 2⁻²³ and the same product bounds it, since no sum
//! is divided by.
//!
//! # Units
//! | profile | u_a | u_s |
//! |---|---|---|
//! | f64 | 2⁻⁵³ | 2⁻⁵³ |
//! | f32 | 2⁻²⁴ | 2⁻²⁴ |
//! | tf32 | 2⁻²³ | 2⁻¹¹ |
//! | bf16 | 2⁻²³ | 2⁻⁸ |
//! | fp16 | 2⁻²³ | 2⁻¹¹ |
//!
//! An input that the format does not hold is one rounding more for each term it is a factor of.
//!
//! # Underflow
//! Below the smallest normal number an operation errs by up to η/2, η being the smallest subnormal (by the smallest normal
//! number, where subnormals are flushed to zero). What follows multiplies that by some of the other factors of the term,
//! at most by the product of max(1, max|factor|). So: operations · η · amplification, counted apart for accumulator and
//! store.
//!
//! Overflow is no rounding: where a result or an intermediate is beyond the format's largest number, fp16's 65504, an honest
//! implementation fails.
//!
//! The constants of each output stand where it is computed, in `ops`.

pub(crate) mod constants;
mod count;
mod json;
mod parts;
mod profile;
mod units;

pub(crate) use count::{Row, Sizes};
pub use json::bounds_json;
pub use parts::Bound;
pub(crate) use parts::{GAUGE, Part, Underflow, bound, largest, remembered, sum, zip_map};
pub use profile::Profile;
pub use units::{Roundings, Units};
