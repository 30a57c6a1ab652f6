//! How real numbers are stored: rounded to it once, and read back.

use std::fmt;
use std::str::FromStr;

use adapter::Real;
use half::{bf16, f16};
use safetensors::tensor::Dtype;

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum StorageDtype {
    F64,
    F32,
    F16,
    Bf16,
}

impl StorageDtype {
    /// All four, the widest first.
    pub const ALL: [Self; 4] = [Self::F64, Self::F32, Self::F16, Self::Bf16];

    /// The type that `T` is: nothing is rounded.
    ///
    /// # Errors
    /// `T` has no place in a safetensors file, as a dual number has none.
    pub fn of<T: Real>() -> adapter::Result<Self> {
        let same = |dtype: &Self| Dtype::from(*dtype).to_string() == T::NAME;
        Self::ALL.into_iter().find(same).ok_or_else(|| {
            adapter::Error::value("the type of a number", T::NAME, "safetensors has F32 and F64")
        })
    }

    /// The one that safetensors calls so; `None` if it holds no real numbers, or eight bits of each.
    pub fn from_safetensors(dtype: Dtype) -> Option<Self> {
        Self::ALL.into_iter().find(|known| Dtype::from(*known) == dtype)
    }

    /// The smallest type that holds every number of both. Of F16 and BF16 neither does: one has the longer range, the other
    /// the more digits.
    pub fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::F16, Self::Bf16) | (Self::Bf16, Self::F16) => Self::F32,
            _ if self.size() < other.size() => other,
            _ => self,
        }
    }

    /// The name users write: `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// The bytes of a number.
    pub fn size(self) -> usize {
        Dtype::from(self).bitsize() / 8
    }

    /// The nearest number that can be stored; ties go to the even one. Infinite where there is none.
    pub fn round(self, value: f64) -> f64 {
        match self {
            Self::F64 => value,
            Self::F32 => f64::from(value as f32),
            Self::F16 => f16::from_f32(to_odd(value)).to_f64(),
            Self::Bf16 => bf16::from_f32(to_odd(value)).to_f64(),
        }
    }

    /// The bytes of numbers, each rounded as [`round`](Self::round) does.
    pub fn encode(self, values: impl Iterator<Item = f64>) -> Vec<u8> {
        let half = |value| f16::from_f32(to_odd(value)).to_le_bytes();
        let brain = |value| bf16::from_f32(to_odd(value)).to_le_bytes();
        match self {
            Self::F64 => values.flat_map(f64::to_le_bytes).collect(),
            Self::F32 => values.flat_map(|value| (value as f32).to_le_bytes()).collect(),
            Self::F16 => values.flat_map(half).collect(),
            Self::Bf16 => values.flat_map(brain).collect(),
        }
    }

    /// Append the numbers that these bytes hold, each rounded to `T`: exact but for F64 that is read as `f32`. Bytes at
    /// the end that are no whole number are left out.
    pub fn decode<T: Real>(self, bytes: &[u8], values: &mut Vec<T>) {
        match self {
            Self::F64 => values.extend(each::<_, T>(bytes, f64::from_le_bytes)),
            Self::F32 => values.extend(each::<_, T>(bytes, |b| f32::from_le_bytes(b).into())),
            Self::F16 => values.extend(each::<_, T>(bytes, |b| f16::from_le_bytes(b).into())),
            Self::Bf16 => values.extend(each::<_, T>(bytes, |b| bf16::from_le_bytes(b).into())),
        }
    }
}

fn each<const N: usize, T: Real>(
    bytes: &[u8],
    number: impl Fn([u8; N]) -> f64,
) -> impl Iterator<Item = T> {
    bytes.as_chunks().0.iter().map(move |chunk| T::from_f64(number(*chunk)))
}

/// To `f32`, and where that is not exact, to the neighbour with an odd last bit. Rounding that once more to a type with
/// at least two bits less gives what rounding the `f64` itself gives (Boldo & Melquiond 2008), as rounding to nearest
/// twice does not.
fn to_odd(value: f64) -> f32 {
    let nearest = value as f32;
    let error = value - f64::from(nearest);
    if error == 0.0 || !nearest.is_finite() || nearest.to_bits() & 1 == 1 {
        return nearest;
    }
    // The other neighbour of `value`; one step in magnitude is one step of the bits.
    match (error > 0.0) == value.is_sign_positive() {
        true => f32::from_bits(nearest.to_bits() + 1),
        false => f32::from_bits(nearest.to_bits() - 1),
    }
}

impl From<StorageDtype> for Dtype {
    fn from(dtype: StorageDtype) -> Self {
        match dtype {
            StorageDtype::F64 => Self::F64,
            StorageDtype::F32 => Self::F32,
            StorageDtype::F16 => Self::F16,
            StorageDtype::Bf16 => Self::BF16,
        }
    }
}

impl fmt::Display for StorageDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for StorageDtype {
    type Err = adapter::Error;
    fn from_str(name: &str) -> adapter::Result<Self> {
        let found = Self::ALL.into_iter().find(|dtype| dtype.name() == name);
        found.ok_or_else(|| {
            let all = Self::ALL.map(Self::name).join(", ");
            adapter::Error::value("dtype", format!("{name:?}"), format!("there is {all}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_once() {
        let tie = 1.0 + 2f64.powi(-11);
        assert_eq!(StorageDtype::F16.round(tie), 1.0, "a tie goes to the even number");
        // Just above and below the tie, by less than f32 can tell.
        assert_eq!(StorageDtype::F16.round(tie + 2f64.powi(-40)), 1.0 + 2f64.powi(-10));
        assert_eq!(StorageDtype::F16.round(tie - 2f64.powi(-40)), 1.0);
        assert_eq!(StorageDtype::F16.round(-tie - 2f64.powi(-40)), -1.0 - 2f64.powi(-10));
        let tie = 1.0 + 2f64.powi(-8);
        assert_eq!(StorageDtype::Bf16.round(tie), 1.0);
        assert_eq!(StorageDtype::Bf16.round(tie + 2f64.powi(-40)), 1.0 + 2f64.powi(-7));
        // The smallest subnormal of f16 is 2^-24; just above its half rounds up, just below down.
        assert_eq!(
            StorageDtype::F16.round(2f64.powi(-25) * (1.0 + 2f64.powi(-40))),
            2f64.powi(-24)
        );
        assert_eq!(StorageDtype::F16.round(2f64.powi(-25) * (1.0 - 2f64.powi(-40))), 0.0);
        assert!(StorageDtype::F16.round(65520.0).is_infinite());
        assert_eq!(StorageDtype::F16.round(65519.99), 65504.0);
        assert_eq!(StorageDtype::F32.round(0.1), f64::from(0.1f32));
        assert_eq!(StorageDtype::F64.round(0.1), 0.1);
        assert!(StorageDtype::Bf16.round(f64::NAN).is_nan());
    }

    #[test]
    fn a_number_that_fits_stays() {
        for bits in (0..=u16::MAX).filter(|&bits| f16::from_bits(bits).is_finite()) {
            let value = f16::from_bits(bits).to_f64();
            assert_eq!(StorageDtype::F16.round(value).to_bits(), value.to_bits());
        }
    }

    #[test]
    fn what_is_encoded_is_what_was_rounded() {
        let values = [1.0 / 3.0, -0.0, 1e-7, -65504.0, 2.5e-300, f64::NEG_INFINITY];
        for dtype in StorageDtype::ALL {
            let bytes = dtype.encode(values.into_iter());
            assert_eq!(bytes.len(), values.len() * dtype.size());
            let mut back = Vec::<f64>::new();
            dtype.decode(&bytes, &mut back);
            let bits = |value: f64| value.to_bits();
            assert_eq!(
                back.into_iter().map(bits).collect::<Vec<_>>(),
                values.map(|value| bits(dtype.round(value))),
                "{dtype}"
            );
        }
    }

    #[test]
    fn names_are_read_back() {
        for dtype in StorageDtype::ALL {
            assert_eq!(dtype.to_string().parse::<StorageDtype>().unwrap(), dtype);
            assert_eq!(StorageDtype::from_safetensors(dtype.into()), Some(dtype));
        }
        let error = "int4".parse::<StorageDtype>().unwrap_err().to_string();
        assert!(error.contains("int4") && error.contains("bf16"), "{error}");
        assert_eq!(StorageDtype::from_safetensors(Dtype::I32), None);
    }

    #[test]
    fn a_join_holds_what_both_hold() {
        use StorageDtype::{Bf16, F16, F32, F64};
        for (i, a) in StorageDtype::ALL.into_iter().enumerate() {
            for b in StorageDtype::ALL.into_iter().skip(i) {
                let want = if [a, b] == [F16, Bf16] { F32 } else { a };
                assert_eq!([a.join(b), b.join(a)], [want; 2], "{a} {b}");
            }
        }
        assert_eq!(F64.join(F32), F64);
    }

    #[test]
    fn what_has_no_place_in_a_file_is_refused() {
        assert_eq!(StorageDtype::of::<f32>().unwrap(), StorageDtype::F32);
        assert_eq!(StorageDtype::of::<f64>().unwrap(), StorageDtype::F64);
        let error = StorageDtype::of::<adapter::Dual>().unwrap_err().to_string();
        assert!(error.contains("dual"), "{error}");
    }
}
