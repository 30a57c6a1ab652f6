//! Tests of the layer that all methods share. One binary: linking is most of what a test costs.

mod dropout;
mod dual;
mod full;
mod gradcheck;
mod loss;
mod merging;
mod optimizer;
mod parallel;
