//! The book's experiments: what its pages compute in the reader's browser, and tests natively.
//!
//! | here | what |
//! |---|---|
//! | [`Experiment`] | settings in, then questions and answers, all of them plain data |
//! | [`start`] | an experiment by its name |
//! | [`Train`] | the embedded transformer, fine-tuned step by step |
//!
//! The arithmetic is that of the workspace's crates. Nothing here draws or knows of a page: `page.rs` is the door to
//! JavaScript, and the modules in `book/live/page` show what comes out of it.

mod experiment;
#[cfg(target_family = "wasm")]
mod page;
mod train;

pub use experiment::{Dialogue, Experiment, start};
pub use train::Train;
