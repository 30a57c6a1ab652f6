//! Fine-tuning runs: what `lowrank finetune` and `lowrank compare` do, and the book with them.
//!
//! | here | what |
//! |---|---|
//! | [`Name`], [`Options`] | the methods by name, and what each can be told |
//! | [`Method`] | what a run needs of a method beside the `Adapter` trait: how it starts, and its files |
//! | [`Plan`] | all that decides a run apart from the model and the data |
//! | [`Data`] | training and held-out examples |
//! | [`Contender`], [`run`], [`Record`] | one row of a comparison, run once, and what was measured |
//! | [`Sweep`] | the learning rate of each row, from the same small grid |
//! | [`Store`] | finished runs in a folder, so that a comparison can go on |
//!
//! Nothing here prints: progress goes to a callback.

mod contender;
mod data;
mod error;
pub mod method;
mod options;
mod plan;
mod run;
mod store;
mod sweep;

pub use contender::Contender;
pub use data::{Data, Digest};
pub use error::{Error, Result};
pub use method::Method;
pub use options::{Job, Name, Options};
pub use plan::{OptimizerKind, Plan};
pub use run::{ByKind, Record, run};
pub use store::{Outcome, Store};
pub use sweep::{Sweep, Trial};
