//! What can go wrong with a model, its files or its data.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// What went wrong, in one line a person can act on. What caused it is its `source` and not repeated in the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A shape or a value that does not fit.
    #[error(transparent)]
    Adapter(#[from] adapter::Error),
    /// A file of tensors, or files that cannot be written.
    #[error(transparent)]
    Tensors(#[from] tensor_file::Error),
    /// A configuration that no model can have.
    #[error("config: {0}")]
    Config(String),
    /// A projection that does not exist.
    #[error("unknown target {0:?}: {1}")]
    Target(String, String),
    /// A file that cannot be read.
    #[error("cannot read {path}")]
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
    /// Something that another library refuses: JSON, a template, a text that a tokenizer cannot represent.
    #[error("{what}")]
    Refused {
        /// What was refused, and the way out.
        what: String,
        /// Why.
        source: Cause,
    },
}

/// What another library says.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// This error, with the file that the configuration is in.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        match self {
            Self::Config(reason) => bad(path, reason),
            Self::Refused { what, source } => {
                Self::Refused { what: format!("{}: {what}", path.display()), source }
            }
            other => other,
        }
    }
}

/// A file whose content is wrong.
pub(crate) fn bad(path: &Path, reason: impl Into<String>) -> Error {
    Error::File { path: path.to_owned(), reason: reason.into() }
}

/// A file that cannot be read.
pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Io { path: path.to_owned(), source }
}

/// Something that another library refuses.
pub(crate) fn refused<E: Into<Cause>>(what: impl Display) -> impl FnOnce(E) -> Error {
    move |error| Error::Refused { what: what.to_string(), source: error.into() }
}
