//! The verdict on a submission, and what would explain it.
//!
//! `check.rs` goes through the tensors of a case, `tensor.rs` judges one of them, `compare.rs` its elements. Where a case
//! fails, `hypothesis.rs` looks for the mistake. `many.rs` does it for folders.

mod check;
mod compare;
mod expected;
mod hypothesis;
mod many;
mod report;
mod tensor;
mod verdict;

pub use check::check;
pub(crate) use check::check_case;
pub(crate) use expected::expected;
pub use many::{Tally, check_all};
pub use report::{json, junit};
pub(crate) use tensor::Judge;
pub use tensor::Options;
pub use verdict::{Finding, Report, Verdict, Worst};
