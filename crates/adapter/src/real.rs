//! The numbers the methods compute with.

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{AddAssign, DivAssign, MulAssign, Neg, SubAssign};

use ndarray::{LinalgScalar, ScalarOperand};

/// A real number: `f32`, `f64` (the reference), or [`Dual`](crate::Dual) (which differentiates as it computes).
///
/// The trait holds only what the methods and the transformer use, so that a new kind of number is a page of code.
pub trait Real:
    LinalgScalar
    + ScalarOperand
    + Neg<Output = Self>
    + PartialOrd
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
    + Debug
    + Display
    + Default
    + Send
    + Sync
{
    /// The name safetensors and PyTorch give this type.
    const NAME: &'static str;
    /// The unit roundoff u: one rounding changes a value by at most a factor 1 ± u.
    const UNIT_ROUNDOFF: f64;

    /// Round an `f64` to this type.
    fn from_f64(value: f64) -> Self;
    /// The value as an `f64`; exact for `f32` and `f64`.
    fn to_f64(self) -> f64;
    /// eˣ.
    fn exp(self) -> Self;
    /// ln x.
    fn ln(self) -> Self;
    /// √x.
    fn sqrt(self) -> Self;
    /// erf x = 2/√π ∫₀ˣ e^(−t²) dt.
    fn erf(self) -> Self;

    /// Neither NaN nor infinite.
    fn is_finite(self) -> bool {
        self.to_f64().is_finite()
    }
}

macro_rules! real {
    ($float:ty, $name:literal, $exp:path, $erf:path) => {
        impl Real for $float {
            const NAME: &'static str = $name;
            const UNIT_ROUNDOFF: f64 = <$float>::EPSILON as f64 / 2.0;

            fn from_f64(value: f64) -> Self {
                value as Self
            }
            fn to_f64(self) -> f64 {
                self.into()
            }
            // In a loop, several at once.
            #[inline]
            fn exp(self) -> Self {
                $exp(self)
            }
            fn ln(self) -> Self {
                self.ln()
            }
            fn sqrt(self) -> Self {
                self.sqrt()
            }
            fn erf(self) -> Self {
                $erf(self)
            }
        }
    };
}

real!(f32, "F32", crate::exp::exp, libm::erff);
real!(f64, "F64", f64::exp, libm::erf);
