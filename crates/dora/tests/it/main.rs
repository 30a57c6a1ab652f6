//! Tests of DoRA. One binary: linking is most of what a test costs.

mod detached;
mod errors;
mod gradients;
mod layers;
mod merge;
mod rounding;
mod start;
