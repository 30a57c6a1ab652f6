//! What can go wrong when one looks into an adapter.

use std::path::{Path, PathBuf};

/// What went wrong, in one line a person can act on. What caused it is its `source` and not repeated in the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A shape or a value that does not fit.
    #[error(transparent)]
    Adapter(#[from] adapter::Error),
    /// The model.
    #[error(transparent)]
    Llama(#[from] llama::Error),
    /// An adapter's folder.
    #[error(transparent)]
    Peft(#[from] peft::Error),
    /// A folder that cannot be used for this.
    #[error("{path}: {reason}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why, and the way out.
        reason: String,
    },
    /// Two models or two adapters that do not go together, or a module that something is wrong with.
    #[error("{0}")]
    Invalid(String),
    /// Something that is wrong with one module.
    #[error("{module}")]
    Module {
        /// The module.
        module: String,
        /// What is wrong.
        source: adapter::Error,
    },
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

pub(crate) fn wrong(reason: impl Into<String>) -> Error {
    Error::Invalid(reason.into())
}

pub(crate) fn folder(path: &Path, reason: impl Into<String>) -> Error {
    Error::Folder { path: path.to_owned(), reason: reason.into() }
}

/// Names the module that an error is about.
pub(crate) fn of(module: &str) -> impl Fn(adapter::Error) -> Error {
    move |source| Error::Module { module: module.to_owned(), source }
}
