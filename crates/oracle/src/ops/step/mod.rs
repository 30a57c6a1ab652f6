//! One update: SGD, AdamW in both variants, and what Delta-LoRA does to W after it.
//!
//! All counts are of stored roundings u, since an update works element by element. L is 1, the rounding of η, and 3 for B
//! in LoRA+, whose rate is a product. E_g is the bound of the gradient: 0 where the case gives it.

mod adamw;
mod delta_lora;
mod sgd;
mod tensor;
mod update;

pub(super) use tensor::Gradient;
pub(super) use update::{lone, update};
