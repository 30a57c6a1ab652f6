//! What an implementation of LoRA, LoRA-FA, VeRA, Delta-LoRA or LoRA+ is judged against: expected values for any inputs,
//! an error bound that is derived and not guessed, and a verdict that says what is wrong.
//!
//! - `case.rs`, `params.rs`, `inputs.rs`, `tensors.rs`: a case, its parameters, its tensors, its file.
//! - `layer.rs`: the five methods under one set of names. No method is computed here, their crates are called.
//! - `bound.rs`, `ops/`, `constants.rs`: the bounds, each constant with its proof. Read `bound.rs` first.
//! - `selftest/`: the oracle on itself, with every mutant of `mutants/`.
//! - `check.rs`, `hypothesis.rs`, `mutants/`: the verdict, and the mistake that would explain it.
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
mod digest;
mod emit;
mod error;
mod judge;
mod mutants;
pub mod ops;
pub mod selftest;
mod tensors;

pub use bound::{Profile, bounds_json};
pub use case::params::{InitParams, OptimizerParams, Params};
pub use case::{Case, Class, Method, Op, SCHEMA, Source, equation, parse_id};
pub use case::{Index, Tally, cases_under, check_all, read_case};
pub use digest::digest;
pub use emit::{emit, emit_file, outputs};
pub use error::{Error, Result};
pub use judge::check::{Finding, Options, Report, Verdict, Worst, check};
pub use judge::{json, junit};
pub use mutants::{Mutant, mutants};
pub use ops::Output;
pub use tensors::{Tensor, TensorFile};
