//! The tests of this crate, in one binary.

mod product;
mod subspace;
mod svd;
