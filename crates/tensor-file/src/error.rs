//! What can go wrong with a file of tensors.

use std::path::PathBuf;

use safetensors::SafeTensorError;
use safetensors::tensor::Dtype;

/// What went wrong; it names the file, and the tensor. What caused it is its `source` and not repeated in the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system does not let us read it.
    #[error("cannot read {file}")]
    Read {
        /// The file, or what the caller named its bytes.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system does not let us write it.
    #[error("cannot write {file}")]
    Write {
        /// The file or the folder.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is another kind of file, or a part of one.
    #[error("{file}: {reason}")]
    Length {
        /// The file.
        file: PathBuf,
        /// Which length is wrong.
        reason: String,
    },
    /// The header is not one.
    #[error("{file}: a wrong safetensors header")]
    Header {
        /// The file.
        file: PathBuf,
        /// No JSON, or a type that there is not.
        source: serde_json::Error,
    },
    /// The header's tensors cannot be where it says.
    #[error("{file}: a wrong safetensors header")]
    Layout {
        /// The file.
        file: PathBuf,
        /// The tensor, and what is wrong with it.
        source: LayoutError,
    },
    /// A file of torch's that is damaged, or that does more than hold tensors.
    #[error("{file}: {reason}")]
    Torch {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no tensor of this name.
    #[error("{file}: {name} is missing")]
    Missing {
        /// The file.
        file: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor is stored in another type than is needed.
    #[error("{file}: {name} is {found}: {needed} is needed")]
    Dtype {
        /// The file.
        file: PathBuf,
        /// The tensor.
        name: String,
        /// Its type.
        found: Dtype,
        /// What would do.
        needed: String,
    },
    /// A tensor has a shape that no array in memory has: an axis of 2⁶³ beside one of 0, for example.
    #[error("{file}: {name} has shape {shape:?}")]
    Shape {
        /// The file.
        file: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Why it cannot be.
        source: ndarray::ShapeError,
    },
}

/// What is wrong with a list of tensors and their places in a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// Two tensors have one name.
    #[error("{0} is there twice")]
    Twice(String),
    /// A name that cannot be a tensor's: with a zero byte in it, or `__metadata__`.
    #[error("a tensor cannot be called {0:?}")]
    Name(String),
    /// A tensor whose bytes do not fit its shape and type, or do not follow those of the one before.
    #[error("tensor {name}")]
    Tensor {
        /// Its name.
        name: String,
        /// What does not fit.
        source: SafeTensorError,
    },
    /// So many tensors that the header is longer than safetensors allows.
    #[error("the header would be longer than 100 MB")]
    TooLong,
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
