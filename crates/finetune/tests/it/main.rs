//! Tests of what is read from files. One binary: linking is most of what a test costs.

mod budget;
mod estimate;
mod files;
#[cfg(feature = "tokenizer")]
mod rows;
