//! One update.

mod update;

pub(super) use update::{Gradient, lone, update};
