//! Tests of LoRA. One binary: linking is most of what a test costs.

mod claims;
mod errors;
mod gradients;
mod rounding;
mod start;
