//! One error type for everything that takes matrices: it names the parameter, both shapes and a way out.

use std::borrow::Cow;

/// What went wrong, in one line a person can act on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor has a shape that does not fit the others.
    #[error("{name} has shape {got:?} where {want:?} is needed ({hint})")]
    Shape {
        /// The tensor, by its name in the book's notation.
        name: Cow<'static, str>,
        /// The shape it has.
        got: Vec<usize>,
        /// The shape that would fit.
        want: Vec<usize>,
        /// Where the wanted shape comes from.
        hint: Cow<'static, str>,
    },
    /// A parameter has a value that makes no sense.
    #[error("{name} is {value}: {hint}")]
    Value {
        /// The parameter.
        name: Cow<'static, str>,
        /// The value it has.
        value: String,
        /// What is allowed.
        hint: Cow<'static, str>,
    },
    /// A computation produced (or was given) NaN or infinity.
    #[error("{name} is not finite: {hint}")]
    NotFinite {
        /// What is not finite.
        name: Cow<'static, str>,
        /// What usually causes it.
        hint: Cow<'static, str>,
    },
    /// An iteration ended before its result was exact enough.
    #[error("{name} did not converge: {hint}")]
    NotConverged {
        /// The iteration.
        name: Cow<'static, str>,
        /// How far it came, or the way out.
        hint: Cow<'static, str>,
    },
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A parameter out of its range.
    pub fn value(
        name: impl Into<Cow<'static, str>>,
        value: impl std::fmt::Display,
        hint: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Value { name: name.into(), value: value.to_string(), hint: hint.into() }
    }
}

/// `Ok` if `got` equals `want`; otherwise an [`Error::Shape`] that names the tensor.
///
/// # Errors
/// The two shapes differ.
pub fn check_shape(
    name: impl Into<Cow<'static, str>>,
    got: &[usize],
    want: &[usize],
    hint: impl Into<Cow<'static, str>>,
) -> Result<()> {
    if got == want {
        return Ok(());
    }
    Err(Error::Shape {
        name: name.into(),
        got: got.to_vec(),
        want: want.to_vec(),
        hint: hint.into(),
    })
}
