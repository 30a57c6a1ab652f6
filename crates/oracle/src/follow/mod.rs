//! A training run of one's own: the first step that is not what its own state gives, and where two runs part.
//!
//! A run is a folder of steps, each a case with the `out.*` that the run came to: `<number>-backward.safetensors` for the
//! passes, `<number>-step.safetensors` for the update that follows them, in a folder of its own for each layer. Every step
//! is judged from the state that the run itself had before it, so that neither rounding nor an earlier mistake piles up;
//! what is recorded may begin anywhere. `run.rs` reads it, `judge.rs` judges its steps, `chain.rs` asks whether each begins
//! where the one before ended, and `part.rs` looks for the first difference of two runs.

mod chain;
mod judge;
mod part;
mod run;

pub use judge::{Followed, FollowedStep, follow};
pub use part::{Parting, part};
pub use run::{Run, StepId};
