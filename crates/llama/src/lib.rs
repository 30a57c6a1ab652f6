//! A Llama-architecture decoder in ndarray, forward and backward by hand.

mod adapters;
mod attention;
mod batch;
#[cfg(feature = "tokenizer")]
mod chat;
mod checkpoint;
mod config;
pub mod data;
mod decoder;
pub mod embedded;
mod error;
mod generate;
pub mod load;
mod merge;
mod mlp;
mod model;
mod norm;
mod objective;
mod rope;
pub mod save;
pub mod state;
pub mod tiny;
#[cfg(feature = "tokenizer")]
mod tokenizer;
mod train;

pub use adapters::{Adapters, Grads, Masks, ModelGrads, Site};
pub use batch::Batch;
pub use checkpoint::Checkpoint;
pub use config::{Config, Llama3Scaling};
pub use decoder::{Saved, Train};
pub use error::{Cause, Error, Result};
pub use generate::{Cache, Sampling};
pub use merge::{MergeReport, merge, merge_report};
pub use model::{Layer, Llama, Projection};
pub use objective::{Outcome, Score};
pub use tensor_file::StorageDtype;
#[cfg(feature = "tokenizer")]
pub use tokenizer::Tokenizer;
pub use train::{Report, Settings, Trainer};
