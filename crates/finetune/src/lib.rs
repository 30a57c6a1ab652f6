//! Fine-tuning runs: what `lowrank finetune` and `lowrank compare` do, and the book with them.
//!
//! | here | what |
//! |---|---|
//! | [`Plan`] | all that decides a run apart from the model and the data |
//! | [`Words`] | text to tokens and back |
//! | [`Reader`], [`Rows`] | a user's file as examples |
//! | [`Data`] | training and held-out examples |
//! | [`Session`] | the one training loop: started, begun from an adapter or resumed; trained, measured, saved |
//! | [`Estimate`] | what a run will hold in memory, told before its first step |
//! | [`Budget`] | the same from shapes alone, for a model that need not be there |
//! | [`run`], [`Record`] | one row of a comparison, run once, and what was measured |
//! | [`RunFolder`], [`Out`] | the folder of a run: result, checkpoints, log; what may be written over |
//! | [`Entry`] | a step, as a line of the log |
//! | [`Sweep`] | the learning rate of each row, from the same small grid |
//! | [`Spread`] | median and range over seeds |
//! | [`Store`] | finished runs in a folder, so that a comparison can go on |
//!
//! Which methods there are, and what each can be told, is in the crate `methods`. Nothing here prints: progress goes to
//! a callback.

mod budget;
mod contents;
mod data;
pub mod digest;
mod estimate;
mod folder;
mod log;
mod out;
mod plan;
mod replaced;
mod rows;
mod run;
mod session;
mod spread;
mod store;
mod sweep;
mod words;

pub use budget::{Budget, Precision};
pub use contents::RUN;
pub use data::Data;
pub use estimate::Estimate;
pub use folder::{Checkpoints, RunFolder, furthest, out, run_of};
pub use log::{Entry, LOG};
pub use methods::{Base, Error, Result};
pub use out::{Out, run_toml};
pub use plan::{OptimizerKind, Plan};
pub use replaced::set_aside;
pub use rows::{Reader, Rows, TrainOn};
pub use run::{Record, run};
pub use session::{ByKind, Origin, Session, Step};
pub use spread::Spread;
pub use store::{Outcome, Store, WEIGHTS};
pub use sweep::{Sweep, Trial};
pub use words::Words;
