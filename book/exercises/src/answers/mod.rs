//! Answers, a file for each chapter.

pub mod costs;
pub mod linear;
pub mod lora;
pub mod matrices;
pub mod rank;
pub mod svd;
