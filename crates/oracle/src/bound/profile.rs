//! The formats that are judged by, their units, and what they hold.

use std::fmt;
use std::str::FromStr;

use half::{bf16, f16};

use super::units::Units;
use crate::error::{Error, Result, wrong};

/// A way to compute: which units of rounding a submission is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Profile {
    F64,
    F32,
    /// Tensor cores on f32: operands rounded to 11 bits.
    Tf32,
    /// Stored in bf16, accumulated in f32.
    Bf16,
    /// Stored in fp16, accumulated in f32.
    Fp16,
}

const PROFILES: [(Profile, &str); 5] = [
    (Profile::F64, "f64"),
    (Profile::F32, "f32"),
    (Profile::Tf32, "tf32"),
    (Profile::Bf16, "bf16"),
    (Profile::Fp16, "fp16"),
];

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(PROFILES.iter().find(|(profile, _)| profile == self).expect("all are listed").1)
    }
}

impl FromStr for Profile {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let found = PROFILES.iter().find(|(_, name)| *name == text).map(|(profile, _)| *profile);
        found.ok_or_else(|| wrong(format!("{text} is no profile: f64, f32, tf32, bf16 or fp16")))
    }
}

impl Profile {
    /// Its units. `flush`: subnormals may be flushed to zero (the flag `FTZ`).
    pub fn units(self, flush: bool) -> Units {
        let power = |exponent: i32| 2.0_f64.powi(exponent);
        // u, the smallest normal number, the smallest subnormal.
        let f32 = [power(-24), power(-126), power(-149)];
        // Tensor cores do not round their sums in f32, they cut off: twice the unit.
        let cut = [power(-23), power(-126), power(-149)];
        let [accumulate, store] = match self {
            Self::F64 => [[power(-53), power(-1022), f64::from_bits(1)]; 2],
            Self::F32 => [f32, f32],
            Self::Tf32 => [cut, [power(-11), power(-126), power(-136)]],
            Self::Bf16 => [cut, [power(-8), power(-126), power(-133)]],
            Self::Fp16 => [cut, [power(-11), power(-14), power(-24)]],
        };
        let tiny = |[_, normal, subnormal]: [f64; 3]| if flush { normal } else { subnormal };
        Units {
            accumulate: accumulate[0],
            store: store[0],
            tiny_accumulate: tiny(accumulate),
            tiny_store: tiny(store),
            inputs_round: false,
            square_root: false,
        }
    }

    /// Does the format hold this number?
    pub fn holds(self, number: f64) -> bool {
        let same = |rounded: f64| rounded == number || number.is_nan();
        match self {
            Self::F64 => true,
            Self::F32 => same(f64::from(number as f32)),
            Self::Bf16 => same(bf16::from_f64(number).to_f64()),
            Self::Fp16 => same(f16::from_f64(number).to_f64()),
            // 11 bits of an f32: the 13 last are zero.
            Self::Tf32 => same(f64::from(f32::from_bits((number as f32).to_bits() & !0x1fff))),
        }
    }
}
