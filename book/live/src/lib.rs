//! The book's experiments: what its pages compute in the reader's browser, and tests natively.
//!
//! | here | what |
//! |---|---|
//! | [`Experiment`] | settings in, then questions and answers, all of them plain data |
//! | [`start`] | an experiment by its name |
//! | [`Picture`], [`Ellipse`] | a picture at rank k, and what a 2 × 2 matrix makes of the circle |
//! | [`Gradient`] | the gradient of a small LoRA layer, by hand and by differences |
//! | [`Shared`] | VeRA's two layers on the same A and B |
//! | [`Bf16`] | what a merge loses, and what LoRA and LoRA-FA keep |
//! | [`Telescope`] | Delta-LoRA beside the LoRA that takes the same path |
//! | [`Landscape`] | the loss at every pair of learning rates |
//! | [`Fits`] | what a run on a model of any shape would hold |
//! | [`Judge`] | the oracle's verdict on an answer |
//! | [`Train`] | the embedded transformer, fine-tuned step by step |
//!
//! The arithmetic is that of the workspace's crates. Nothing here draws or knows of a page: `page.rs` is the door to
//! JavaScript, and the modules in `book/live/page` show what comes out of it.

pub mod bf16;
pub mod ellipse;
mod experiment;
pub mod fits;
pub mod gradient;
pub mod judge;
pub mod landscape;
#[cfg(target_family = "wasm")]
mod page;
pub mod picture;
pub mod scene;
pub mod shapes;
pub mod shared;
pub mod telescope;
pub mod train;

pub use bf16::Bf16;
pub use ellipse::Ellipse;
pub use experiment::{Dialogue, Experiment, start};
pub use fits::Fits;
pub use gradient::Gradient;
pub use judge::Judge;
pub use landscape::Landscape;
pub use picture::Picture;
pub use shared::Shared;
pub use telescope::Telescope;
pub use train::Train;
