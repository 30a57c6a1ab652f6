//! What the fuzz targets run, and a mutator that knows what a case file looks like.
//!
//! `targets.rs` is also a module of `tests/oracle/corpus.rs`, which replays the corpus in the ordinary test run.

pub mod mutate;
pub mod targets;
