//! What can go wrong before there is a verdict. What is wrong with a submission is a verdict, not an error.

use std::path::{Path, PathBuf};

/// What went wrong, in one line that names the file, and the tensor or the parameter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A file whose content is wrong.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the way out.
        reason: String,
    },
    /// A case in memory that is wrong.
    #[error("{0}")]
    Case(String),
}

impl Error {
    /// The file; empty for what is in memory.
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. } | Self::File { path, .. } => path,
            Self::Case(_) => Path::new(""),
        }
    }
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<adapter::Error> for Error {
    /// A method refused its input.
    fn from(error: adapter::Error) -> Self {
        wrong(error)
    }
}

pub(crate) fn wrong(reason: impl ToString) -> Error {
    // One line, whatever the libraries below put into their messages.
    Error::Case(reason.to_string().replace('\n', " "))
}

/// Adds the file to an error that names none.
pub(crate) fn at(path: &Path) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::Case(reason) => Error::File { path: path.to_owned(), reason },
        located => located,
    }
}

pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::Io { path: path.to_owned(), error }
}
