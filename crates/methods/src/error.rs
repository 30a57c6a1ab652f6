//! What can go wrong when a method starts, reads or writes.

use std::path::PathBuf;

/// What went wrong, in one line a person can act on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A shape or a value that does not fit.
    #[error(transparent)]
    Adapter(#[from] adapter::Error),
    /// The model, its files or its data.
    #[error(transparent)]
    Llama(#[from] llama::Error),
    /// Files of tensors.
    #[error(transparent)]
    Tensors(#[from] tensor_file::Error),
    /// An adapter's folder.
    #[error(transparent)]
    Peft(#[from] peft::Error),
    /// A file that cannot be read or written.
    #[error("{path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A folder or a file that belongs to something else.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and the way out.
        reason: String,
    },
    /// An option that the method does not have, or a value it cannot take.
    #[error("{0}")]
    Option(String),
}

impl Error {
    /// Training diverged: a loss or a gradient that is not finite.
    pub fn is_divergence(&self) -> bool {
        matches!(
            self,
            Self::Adapter(adapter::Error::NotFinite { .. })
                | Self::Llama(llama::Error::Adapter(adapter::Error::NotFinite { .. }))
        )
    }
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
