//! The verdict on a submission, and what would explain it.
//!
//! `bench.rs` makes a case ready, `check.rs` goes through its tensors, `tensor.rs` judges one of them, `compare.rs` its
//! elements. `many.rs` does it for folders. What explains a failure is the business of [`diagnosis`](crate::diagnosis).

mod bench;
mod check;
mod compare;
mod expected;
mod many;
mod names;
mod report;
mod submitted;
mod tensor;
mod verdict;

pub(crate) use bench::Bench;
pub use check::{Truth, check};
pub(crate) use check::{ask_case, check_case};
pub(crate) use compare::same;
pub use many::{Tally, check_all};
pub use report::{json, junit};
pub(crate) use tensor::Judge;
pub use tensor::Options;
pub use verdict::{Finding, Report, Verdict, Worst};
