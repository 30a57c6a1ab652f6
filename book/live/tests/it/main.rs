//! The experiments natively: that they are what the crates do, and that bad input is one clear sentence.

mod bf16;
mod fits;
mod judging;
mod landscape;
mod pictures;
mod shared;
mod telescope;
mod training;
