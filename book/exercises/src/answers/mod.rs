//! Answers, a file for each chapter.

pub mod costs;
pub mod delta_lora;
pub mod dora;
pub mod linear;
pub mod lora;
pub mod lora_fa;
pub mod lora_plus;
pub mod matrices;
pub mod rank;
pub mod svd;
pub mod vera;
