//! The book's experiments: what its pages compute in the reader's browser, and tests natively.
//!
//! | here | what |
//! |---|---|
//! | [`Experiment`] | settings in, then questions and answers, all of them plain data |
//! | [`start`] | an experiment by its name |
//! | [`Picture`], [`Ellipse`] | a picture at rank k, and what a 2 × 2 matrix makes of the circle |
//! | [`Gradient`] | the gradient of a small LoRA layer, by hand and by differences |
//! | [`Train`] | the embedded transformer, fine-tuned step by step |
//!
//! The arithmetic is that of the workspace's crates. Nothing here draws or knows of a page: `page.rs` is the door to
//! JavaScript, and the modules in `book/live/page` show what comes out of it.

mod ellipse;
mod experiment;
mod gradient;
#[cfg(target_family = "wasm")]
mod page;
mod picture;
pub mod scene;
mod train;

pub use ellipse::Ellipse;
pub use experiment::{Dialogue, Experiment, start};
pub use gradient::Gradient;
pub use picture::Picture;
pub use train::Train;
