//! Tests of LoRA-FA. One binary: linking is most of what a test costs.

mod errors;
mod gradients;
mod projection;
