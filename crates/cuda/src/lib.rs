//! The one crate that talks to CUDA, and the only one with `unsafe` code.
//!
//! | here | what |
//! |---|---|
//! | [`Gpu`] | opens a device without ever panicking; graphs, timing |
//! | `Emulator` | the same on the CPU (feature `emulator`): products by ndarray, kernels by a C++ compiler |
//! | [`Matrix`], [`View`] | row-major matrices of `f64`, `f32`, [`Tf32`] or `bf16` |
//! | [`multiply`] | C ← α A B + β C |
//! | [`Source`], [`Launch`] | kernels, launched with arguments that are checked against their source |
//! | [`Parameter`], [`AdamW`] | what is trained: a master in `f32`, and one launch that updates all of them |
//! | [`Dropout`] | a mask by Philox, the bits of `adapter::Dropout::philox` |
//!
//! Code that is generic over [`Device`] runs on both devices. That is how the GPU path of each method is tested where there
//! is no GPU: the same calls in the same order, the same kernels under AddressSanitizer.

mod adamw;
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
mod parameter;
pub mod timing;

pub use adamw::{AdamW, Update};
pub use device::{Accounts, Device, Replay, Usage};
pub use dropout::{Dropout, Stream};
pub use element::{Element, Kind, Tf32};
#[cfg(feature = "emulator")]
pub use emulator::Emulator;
pub use error::{Error, Result};
pub use gpu::{Code, Gpu, Versions, compile, nvrtc_version};
pub use half::bf16;
pub use kernel::{BLOCK, Dimensions, Launch, Source};
pub use matrix::{Matrix, View, ViewMut};
pub use multiply::multiply;
pub use parameter::Parameter;

/// The kernels of this crate.
pub const SOURCES: [&Source; 3] = [&parameter::ROUND, &dropout::DROPOUT, &adamw::ADAMW];
