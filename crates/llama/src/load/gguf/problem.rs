//! What is wrong with a GGUF file, while it is not yet said which file it is.

use std::io;
use std::path::Path;

use crate::Error;
use crate::error::bad;

/// `Result` with a [`Problem`].
pub type Outcome<V> = Result<V, Problem>;

/// The file cannot be read, or what it says is wrong.
#[derive(Debug)]
pub enum Problem {
    /// It cannot be read.
    Io(io::Error),
    /// It says something wrong.
    Wrong(String),
}

impl Problem {
    /// The error that names the file.
    pub fn at(self, path: &Path) -> Error {
        match self {
            Self::Io(source) => Error::Io { path: path.to_owned(), source },
            Self::Wrong(reason) => bad(path, reason),
        }
    }

    /// This problem, with the part of the file that it is in: `tensor "a"`.
    pub fn of(self, part: &str, name: &str) -> Self {
        match self {
            Self::Wrong(reason) => Self::Wrong(format!("{part} {name:?}: {reason}")),
            io => io,
        }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<String> for Problem {
    fn from(reason: String) -> Self {
        Self::Wrong(reason)
    }
}

impl From<&str> for Problem {
    fn from(reason: &str) -> Self {
        Self::Wrong(reason.to_owned())
    }
}

/// The file says something wrong.
pub fn wrong<V>(reason: impl Into<String>) -> Outcome<V> {
    Err(Problem::Wrong(reason.into()))
}
