//! What can go wrong with an adapter folder.

use std::path::{Path, PathBuf};

/// What went wrong, in one line that names the file or the field.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
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
    Adapter(String),
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

pub(crate) fn wrong(reason: impl ToString) -> Error {
    Error::Adapter(reason.to_string())
}

/// The same reason, now with the file it was found in.
pub(crate) fn at(path: &Path) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::Adapter(reason) => Error::File { path: path.to_owned(), reason },
        located => located,
    }
}

pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Io { path: path.to_owned(), source }
}
