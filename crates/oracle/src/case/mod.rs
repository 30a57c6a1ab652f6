//! What a case says: its metadata, its parameters, its tensors, and the folder it lies in.

pub(crate) mod folder;
pub(crate) mod inputs;
mod metadata;
pub(crate) mod params;

pub use folder::{Index, Tally, cases_under, check_all, read_case};
pub use metadata::{Case, Class, Method, Op, SCHEMA, Source, equation, parse_id};
