//! What an implementation of LoRA, LoRA-FA, VeRA, Delta-LoRA, LoRA+ or DoRA is judged against: expected values for any inputs,
//! an error bound that is derived and not guessed, and a verdict that says what is wrong.
//!
//! | room | what |
//! |---|---|
//! | `case/` | a case: metadata, parameters, tensors, the folder it lies in |
//! | `ops/` | what each op gives, with the roundings that each output goes through |
//! | `bound/` | the bounds: the argument ([`bound`] has it whole, read it first), units, constants |
//! | `judge/` | the verdict on a submission |
//! | `diagnosis/` | the mistakes that explain what is wrong with it |
//! | `mutants/` | the catalogue of mistakes |
//! | `follow/` | a training run of one's own, step by step |
//! | `selftest/` | the oracle on itself, with every mutant |
//!
//! `tensors.rs` is the file format, `digest.rs` what makes two cases equal, `emit.rs` computes one. No method is computed
//! here: `ops/layer.rs` calls their crates.
//!
//! ```
//! use ndarray::array;
//! use oracle::{Tensor, TensorFile, emit};
//!
//! let mut case = TensorFile::default();
//! let text = r#"{"schema":"lowrank-case/1","method":"lora","op":"merge","params":{"alpha":4}}"#;
//! case.metadata.insert("case".into(), text.into());
//! for (name, matrix) in [
//!     ("in.weight", array![[1.0, 0.0], [0.0, 1.0]]),
//!     ("in.lora_A", array![[1.0, 2.0]]),
//!     ("in.lora_B", array![[0.0], [1.0]]),
//! ] {
//!     case.tensors.insert(name.into(), Tensor::f64(&matrix.into_dyn()));
//! }
//! let made = emit(&case)?;
//! // W + 4 B A
//! assert_eq!(made.tensors["out.weight"].to_f64()?, array![[1.0, 0.0], [4.0, 9.0]].into_dyn());
//! assert_eq!(made.tensors["gauge.weight.all"].to_f64()?, array![[1.0, 0.0], [4.0, 9.0]].into_dyn());
//! # Ok::<(), oracle::Error>(())
//! ```

pub mod bound;
mod case;
mod diagnosis;
mod digest;
mod emit;
mod error;
mod follow;
mod judge;
mod mutants;
pub mod ops;
pub mod selftest;
mod tensors;

pub use bound::{Profile, bounds_json};
pub use case::{
    Case, Class, Index, InitParams, InitScheme, Method, Op, OptimizerParams, Params, Rule, SCHEMA,
    Source, cases_under, equation, parse_id, read_case,
};
pub use diagnosis::{Diagnosis, Explanation, Left};
pub use digest::digest;
pub use emit::{emit, emit_file, outputs};
pub use error::{Error, Result};
pub use follow::{Followed, FollowedStep, Parting, Run, StepId, follow, part};
pub use judge::{
    Finding, Options, Report, Tally, Truth, Verdict, Worst, check, check_all, json, junit,
};
pub use mutants::{Mutant, mutants};
pub use ops::Output;
pub use tensors::{Tensor, TensorFile};
