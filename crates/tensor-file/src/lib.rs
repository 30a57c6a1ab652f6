//! Named arrays in safetensors files: read, checked and written in one way by every crate here.
//!
//! A file is 8 bytes that say how long its header is, the header (JSON: of each tensor its type, its shape and where its
//! bytes are; and `__metadata__`, a map of strings), and the bytes of the tensors, little-endian, row by row. The
//! [format](https://github.com/huggingface/safetensors#format) is Hugging Face's, and so is the crate underneath.
//!
//! - `read.rs`: [`TensorFile`], a file on disk or in memory. Opening it reads the header alone; each tensor is read when
//!   it is asked for.
//! - `header.rs`: what a header must keep, so that no file makes a reader allocate more than it holds or panic.
//! - `torch.rs`, `pickle/`: the same of a file that `torch.save` wrote, of which tensors are taken and nothing is run.
//! - `dtype.rs`: [`StorageDtype`], how real numbers are stored; rounding to it, and back.
//! - `write.rs`: [`Stored`] arrays to bytes, the same bytes every time.
//! - `staging.rs`: [`Staging`], files that take their places on the disk together or not at all.
//! - `digest.rs`: [`Digest`], the SHA-256 of a file or of numbers, to know them again.
//!
//! What a file must hold beyond that is for the caller to say: that its numbers are finite, say, or that nothing is rounded
//! ([`TensorFile::check_dtype`]).
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use ndarray::array;
//! use tensor_file::{StorageDtype, Stored, TensorFile, to_bytes};
//!
//! let a = array![[1.0_f32, 0.1], [2.0, 3.0]];
//! let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
//! let bytes = to_bytes([("a", Stored::new(a.view(), StorageDtype::Bf16))], &metadata)?;
//!
//! let mut file = TensorFile::from_bytes("the example", &bytes)?;
//! assert_eq!(file.metadata()["format"], "pt");
//! assert_eq!(file.array::<f64>("a")?[[0, 1]], 0.10009765625); // 0.1 in bf16
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod digest;
mod dtype;
mod error;
mod header;
mod pickle;
mod read;
mod staging;
mod torch;
mod write;

pub use digest::{Digest, DigestWriter};
pub use dtype::StorageDtype;
pub use error::{Error, LayoutError, Result};
pub use read::TensorFile;
pub use safetensors::tensor::{Dtype, TensorInfo, View};
pub use staging::Staging;
pub use write::{Stored, to_bytes};
