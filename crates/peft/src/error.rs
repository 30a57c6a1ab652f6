//! What can go wrong with an adapter folder.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// What went wrong, in one line that names the file or the field. What caused it is its `source` and not repeated in the
/// message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file of tensors that is damaged, or files that cannot be written.
    #[error(transparent)]
    Tensors(#[from] tensor_file::Error),
    /// A file whose content is wrong, or asks for what these crates do not have.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the way out.
        reason: String,
    },
    /// A configuration or an adapter in memory that is wrong, or asks for what these crates do not have.
    #[error("{0}")]
    Invalid(String),
    /// A shape or a value that does not fit.
    #[error(transparent)]
    Adapter(#[from] adapter::Error),
    /// Something that a library below refuses: a field of another type, a scale that is not finite.
    #[error("{what}")]
    Refused {
        /// What was refused.
        what: String,
        /// Why.
        source: Cause,
    },
}

/// What a library below says.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

pub(crate) fn wrong(reason: impl Into<String>) -> Error {
    Error::Invalid(reason.into())
}

pub(crate) fn refused<E: Into<Cause>>(what: impl Display) -> impl FnOnce(E) -> Error {
    move |error| Error::Refused { what: what.to_string(), source: error.into() }
}

/// Names the file that an error is about, unless it has one.
pub(crate) fn at(path: &Path) -> impl Fn(Error) -> Error {
    let place = path.display();
    move |error| match error {
        Error::Invalid(reason) => Error::File { path: path.to_owned(), reason },
        Error::Adapter(error) => refused(&place)(error),
        Error::Refused { what, source } => refused(format!("{place}: {what}"))(source),
        located => located,
    }
}

pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Io { path: path.to_owned(), source }
}
