//! Tests of Delta-LoRA. One binary: linking is most of what a test costs.

mod identity;
mod problem;
mod step;
mod telescoping;
