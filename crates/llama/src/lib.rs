//! A Llama-architecture decoder in ndarray, forward and backward by hand; and with what Mistral, Qwen, Gemma and others
//! do otherwise as data in its [`Config`].

mod activation;
mod adapters;
mod attention;
mod backward;
mod batch;
mod branch;
mod changes;
#[cfg(feature = "tokenizer")]
mod chat;
mod checkpoint;
mod config;
pub mod data;
mod decoder;
pub mod embedded;
mod error;
mod fused;
mod generate;
pub mod load;
mod merge;
mod mlp;
mod model;
mod model_grads;
mod norm;
mod objective;
mod projection;
pub mod random;
mod rope;
mod sampling;
pub mod save;
mod saved;
pub mod state;
pub mod tiny;
#[cfg(feature = "tokenizer")]
mod tokenizer;
mod train;
mod vectors;

pub use adapters::{Adapters, Grads, Masks, Site};
pub use batch::Batch;
pub use changes::{Change, Changes};
#[cfg(feature = "tokenizer")]
pub use chat::Rendered;
pub use checkpoint::Checkpoint;
pub use config::{
    Activation, Architecture, Config, Llama3Scaling, LongRopeScaling, Norms, QkNorm, RopeScaling,
    Variant, YarnScaling,
};
pub use decoder::Train;
pub use error::{Cause, Error, Result};
pub use generate::Cache;
pub use merge::{MergeReport, merge, merge_report};
pub use model::{Layer, Llama};
pub use model_grads::ModelGrads;
pub use objective::{Outcome, Score};
pub use projection::Projection;
pub use sampling::Sampling;
pub use saved::Saved;
pub use tensor_file::StorageDtype;
#[cfg(feature = "tokenizer")]
pub use tokenizer::Tokenizer;
pub use train::{Report, Settings, Trainer};
pub use vectors::Vectors;
