//! What a case says: its metadata, its parameters, its tensors, and the folder it lies in.

mod equation;
mod folder;
mod id;
mod inputs;
mod json;
mod limits;
mod metadata;
mod method;
mod names;
mod op;
mod params;

pub use equation::equation;
pub use folder::{Index, cases_under, read_case};
pub use id::parse_id;
pub(crate) use inputs::{Inputs, transposed};
pub use metadata::{Case, SCHEMA, Source};
pub use method::Method;
pub use op::{Class, Op};
pub use params::{InitParams, InitScheme, OptimizerParams, Params, Rule};
