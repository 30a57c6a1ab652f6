//! The numbers a GPU computes with.

use std::fmt::Debug;

use bytemuck::Pod;
use half::bf16;

/// How elements are stored and multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 64 bits.
    F64,
    /// 32 bits, every product in full precision.
    F32,
    /// 32 bits, rounded to 11 significant ones where they enter a product, summed in 32.
    Tf32,
    /// 16 bits, 8 of them significant, summed in 32.
    Bf16,
}

impl Kind {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        }
    }

    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 | Self::Tf32 => 4,
            Self::Bf16 => 2,
        }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f64 {}
    impl Sealed for f32 {}
    impl Sealed for super::Tf32 {}
    impl Sealed for half::bf16 {}
}

/// A type that matrices on a device hold.
pub trait Element: Pod + Debug + Send + Sync + sealed::Sealed {
    /// What trained parameters, gradients and moments are kept in: `f32`, or `f64` for itself.
    type Master: Element<Master = Self::Master>;
    /// How it is stored and multiplied.
    const KIND: Kind;

    /// Rounded to nearest, ties to even.
    fn from_f64(value: f64) -> Self;
    /// Exact.
    fn to_f64(self) -> f64;
}

/// An `f32` whose products run on tensor cores: only 11 significant bits of each factor count.
#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct Tf32(pub f32);

impl Element for f64 {
    type Master = Self;
    const KIND: Kind = Kind::F64;
    fn from_f64(value: f64) -> Self {
        value
    }
    fn to_f64(self) -> f64 {
        self
    }
}

impl Element for f32 {
    type Master = Self;
    const KIND: Kind = Kind::F32;
    fn from_f64(value: f64) -> Self {
        value as Self
    }
    fn to_f64(self) -> f64 {
        self.into()
    }
}

impl Element for Tf32 {
    type Master = f32;
    const KIND: Kind = Kind::Tf32;
    fn from_f64(value: f64) -> Self {
        Self(value as f32)
    }
    fn to_f64(self) -> f64 {
        self.0.into()
    }
}

impl Element for bf16 {
    type Master = f32;
    const KIND: Kind = Kind::Bf16;
    fn from_f64(value: f64) -> Self {
        Self::from_f64(value)
    }
    fn to_f64(self) -> f64 {
        self.into()
    }
}
