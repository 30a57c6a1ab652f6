//! How large the numbers and the arrays of a case may be.

/// The largest integer up to which a double holds every one.
pub(crate) const MOST_EXACT: u64 = 1 << 53;

/// No array has more elements than this: 2 GiB in `f64`.
pub(crate) const MOST_ELEMENTS: u128 = 1 << 28;
