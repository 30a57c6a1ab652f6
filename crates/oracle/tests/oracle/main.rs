//! The oracle's tests, in one binary: each would link the whole workspace anew.
//!
//! `tests/runners.rs` stands apart, since it starts other programs.

mod bad_input;
mod common;
mod corpus;
mod counts;
mod counts_of_updates;
mod diagnosis;
mod distributions;
mod dora;
mod follow;
mod free;
mod honest;
mod hostile;
mod mistakes;
mod mistakes_of_updates;
mod selftest;
mod shipped;
mod submissions;
mod verdicts;
