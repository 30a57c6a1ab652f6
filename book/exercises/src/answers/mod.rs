//! Answers, a file for each chapter.

pub mod bounds;
pub mod costs;
pub mod delta_lora;
pub mod dora;
pub mod linear;
pub mod lora;
pub mod lora_fa;
pub mod lora_plus;
pub mod matrices;
pub mod practice;
pub mod quantised;
pub mod rank;
pub mod svd;
pub mod vera;
pub mod wrong;
