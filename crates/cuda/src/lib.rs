//! The one crate that talks to CUDA, and the only one with `unsafe` code.
//!
//! | here | what |
//! |---|---|
//! | [`Gpu`] | opens a device without ever panicking; graphs, timing |
//! | `Emulator` | the same on the CPU (feature `emulator`): products by ndarray, kernels by a C++ compiler |
//! | [`Matrix`], [`View`] | row-major matrices of `f64`, `f32`, [`Tf32`] or `bf16`, and parts of them |
//! | [`multiply`] | C ← α A B + β C |
//! | [`Bordered`], [`Augmented`] | a weight with an adapter along its sides, and what is multiplied with it |
//! | [`Source`], [`Launch`] | kernels, launched with arguments that are checked against their source |
//! | [`AdamW`] | one launch that updates all that is trained: masters in `f32`, and the copies that products read |
//! | [`Dropout`] | a mask by Philox, the bits of `adapter::Dropout::philox` |
//!
//! Code that is generic over [`Device`] runs on both devices. That is how the GPU path of each method is tested where there
//! is no GPU: the same calls in the same order, the same kernels under AddressSanitizer.

mod adamw;
mod bordered;
mod buffer;
mod device;
mod dropout;
mod element;
#[cfg(feature = "emulator")]
mod emulator;
mod error;
pub mod example;
mod gpu;
mod kernel;
mod matrix;
mod multiply;
pub mod rows;
pub mod timing;
mod view;

pub use adamw::{AdamW, Update};
pub use bordered::{Augmented, Bordered};
pub use device::{Accounts, Device, Replay, Usage};
pub use dropout::{Dropout, Stream};
pub use element::{Element, Kind, Tf32};
#[cfg(feature = "emulator")]
pub use emulator::Emulator;
pub use error::{Error, Result};
pub use gpu::{Code, Gpu, Plans, Versions, compile, nvrtc_version};
pub use half::bf16;
pub use kernel::{BLOCK, Dimensions, Launch, Source};
pub use matrix::Matrix;
pub use multiply::multiply;
pub use view::{View, ViewMut};

/// The kernels of this crate.
pub const SOURCES: [&Source; 3] = [&rows::ROWS, &dropout::DROPOUT, &adamw::ADAMW];
