//! What can go wrong with a model, its files or its data.

use std::path::PathBuf;

/// What went wrong, in one line a person can act on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A shape or a value that does not fit.
    #[error(transparent)]
    Adapter(#[from] adapter::Error),
    /// A configuration that no model can have.
    #[error("config: {0}")]
    Config(String),
    /// A projection that does not exist.
    #[error("unknown target {0:?}: this model has {1}")]
    Target(String, String),
    /// A file that cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file whose content is not what it should be.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and the way out.
        reason: String,
    },
    /// Text or tokens that cannot be trained on.
    #[error("data: {0}")]
    Data(String),
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
