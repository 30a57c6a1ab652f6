//! Tests of VeRA. One binary: linking is most of what a test costs.

mod errors;
mod gradients;
mod projections;
