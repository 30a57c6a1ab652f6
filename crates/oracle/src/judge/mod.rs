//! The verdict on a submission, and what would explain it.

pub(crate) mod check;
mod hypothesis;
mod report;

pub use report::{json, junit};
