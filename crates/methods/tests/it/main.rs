//! Tests of what the methods read. One binary: linking is most of what a test costs.

mod beside;
