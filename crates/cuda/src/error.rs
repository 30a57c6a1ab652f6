//! What can go wrong on the way to a GPU, in one line that names the operation.

/// An error of a device.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no GPU that can be used, or a library that it takes is missing.
    #[error("no GPU to use: {missing} ---> HINT: {hint}")]
    Unavailable {
        /// What is missing.
        missing: String,
        /// The way out.
        hint: &'static str,
    },
    /// More memory was asked for than there is.
    #[error("out of GPU memory: {operation} asks for {asked} bytes, {free} of {total} are free")]
    OutOfMemory {
        /// What the memory was for.
        operation: &'static str,
        /// Bytes.
        asked: usize,
        /// Bytes.
        free: usize,
        /// Bytes.
        total: usize,
    },
    /// Two matrices do not fit together.
    #[error(transparent)]
    Argument(#[from] adapter::Error),
    /// Matrices of two devices met in one operation.
    #[error("{operation}: its matrices lie on different devices")]
    Devices {
        /// What was asked for.
        operation: &'static str,
    },
    /// A kernel was given other arguments than its source declares, or a grid beyond the limits.
    #[error("kernel {kernel}: {reason}")]
    Launch {
        /// Its name.
        kernel: String,
        /// What does not fit.
        reason: String,
    },
    /// A kernel does not compile.
    #[error("{file} does not compile:\n{log}")]
    Compile {
        /// Its source.
        file: String,
        /// What the compiler said.
        log: String,
    },
    /// Not possible while a graph is recorded.
    #[error("{operation} cannot be part of a graph ---> HINT: {hint}")]
    Recording {
        /// What was asked for.
        operation: &'static str,
        /// The way out.
        hint: &'static str,
    },
    /// A library of CUDA refused.
    #[error("{operation}: {library} says {code}")]
    Library {
        /// What was asked for, with shapes.
        operation: String,
        /// Which.
        library: &'static str,
        /// Its name for the error.
        code: String,
    },
    /// Something was written outside a matrix.
    #[error("memory beside {count} matrices was overwritten")]
    Overrun {
        /// How many.
        count: usize,
    },
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
