//! The expected values of a case, each with its gauge and its bound. The values come from the method crates; what is
//! here is how many roundings each output allows.

mod adam_constants;
mod dora;
mod dora_formula;
mod evaluate;
mod forward_backward;
mod grid;
mod init;
mod layer;
mod merge;
mod output;
mod pass;
mod problem;
mod projected_gradient;
mod slips;
mod step;
mod trajectory;

pub(crate) use adam_constants::AdamConstants;
pub(crate) use dora_formula::{Formula, lengths};
pub(crate) use evaluate::evaluate;
pub(crate) use init::{moments, sample_shape, support};
pub use output::{Output, Residual};
pub(crate) use problem::Problem;
