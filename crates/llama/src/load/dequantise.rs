//! Stored numbers to numbers: plain ones, and llama.cpp's blocks of 32 that share a scale.
//!
//! | type | block | value of element j |
//! |---|---|---|
//! | Q8_0 | d: f16, q: i8 × 32 | d q_j |
//! | Q4_0 | d: f16, q: 4 bits × 32 | d (q_j − 8) |
//! | Q4_1 | d, m: f16, q: 4 bits × 32 | d q_j + m |
//!
//! Of the 16 bytes that hold 32 four-bit numbers, byte j has element j in its low half and element j + 16 in its high
//! half. d q is exact in `f32`, so a value is rounded at most once. A quantised number *is* that `f32`, whatever it is
//! then computed with.

use std::fmt;
use std::io::{self, Read};

use adapter::Real;
use half::f16;
use tensor_file::{Dtype, StorageDtype};

/// How the numbers of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Plain(StorageDtype),
    Q8_0,
    Q4_0,
    Q4_1,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Plain(dtype) => Dtype::from(dtype).fmt(f),
            Self::Q8_0 => f.write_str("Q8_0"),
            Self::Q4_0 => f.write_str("Q4_0"),
            Self::Q4_1 => f.write_str("Q4_1"),
        }
    }
}

impl Format {
    /// What numbers of this kind are written as: F32 if they are quantised.
    pub fn storage_dtype(self) -> StorageDtype {
        match self {
            Self::Plain(dtype) => dtype,
            Self::Q8_0 | Self::Q4_0 | Self::Q4_1 => StorageDtype::F32,
        }
    }

    /// (numbers, bytes) of the smallest piece that can be read alone.
    pub fn block(self) -> (usize, usize) {
        match self {
            Self::Plain(dtype) => (1, dtype.size()),
            Self::Q8_0 => (32, 2 + 32),
            Self::Q4_0 => (32, 2 + 16),
            Self::Q4_1 => (32, 2 + 2 + 16),
        }
    }

    /// The bytes of a tensor of `count` numbers; `None` if they do not fill its blocks or there are too many.
    pub fn bytes(self, count: u64) -> Option<u64> {
        let (numbers, bytes) = self.block();
        count
            .is_multiple_of(numbers as u64)
            .then(|| (count / numbers as u64).checked_mul(bytes as u64))?
    }

    /// Append the numbers of whole blocks.
    pub fn decode<T: Real>(self, bytes: &[u8], values: &mut Vec<T>) {
        let single = |value: f32| T::from_f64(value.into());
        match self {
            Self::Plain(dtype) => dtype.decode(bytes, values),
            Self::Q8_0 => {
                for [d0, d1, quants @ ..] in bytes.as_chunks::<34>().0 {
                    let d = f16::from_le_bytes([*d0, *d1]).to_f32();
                    values.extend(quants.iter().map(|&q| single(d * f32::from(q as i8))));
                }
            }
            Self::Q4_0 => {
                for [d0, d1, quants @ ..] in bytes.as_chunks::<18>().0 {
                    let d = f16::from_le_bytes([*d0, *d1]).to_f32();
                    values.extend(halves(quants).map(|q| single(d * (q - 8.0))));
                }
            }
            Self::Q4_1 => {
                for [d0, d1, m0, m1, quants @ ..] in bytes.as_chunks::<20>().0 {
                    let d = f16::from_le_bytes([*d0, *d1]).to_f32();
                    let m = f16::from_le_bytes([*m0, *m1]).to_f32();
                    values.extend(halves(quants).map(|q| single(d * q + m)));
                }
            }
        }
    }

    /// Read `count` numbers, a small piece at a time. The caller has made sure that the source holds them.
    pub fn read<T: Real>(self, source: &mut impl Read, count: usize) -> io::Result<Vec<T>> {
        let (numbers, bytes) = self.block();
        let mut values = Vec::with_capacity(count);
        let mut buffer = vec![0; bytes * (count / numbers).min(4096)];
        while values.len() < count {
            let blocks = ((count - values.len()) / numbers).min(4096);
            let piece = &mut buffer[..blocks * bytes];
            source.read_exact(piece)?;
            self.decode(piece, &mut values);
        }
        Ok(values)
    }
}

/// The 32 four-bit numbers of a block.
fn halves(quants: &[u8; 16]) -> impl Iterator<Item = f32> {
    let low = quants.iter().map(|q| f32::from(q & 15));
    low.chain(quants.iter().map(|q| f32::from(q >> 4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        format: String,
        bytes: String,
        values: Vec<f32>,
    }

    /// The numbers of llama.cpp's own Python package; see `tests/golden/golden.py`.
    #[test]
    fn blocks_hold_the_numbers_that_gguf_says() {
        let text = include_str!("../../tests/golden/dequantise.json");
        let golden: serde_json::Value = serde_json::from_str(text).unwrap();
        let cases: Vec<Case> = serde_json::from_value(golden["cases"].clone()).unwrap();
        let plain = [StorageDtype::F32, StorageDtype::F16, StorageDtype::Bf16].map(Format::Plain);
        let all = [&plain[..], &[Format::Q8_0, Format::Q4_0, Format::Q4_1]].concat();
        for format in &all {
            let tried = cases.iter().any(|case| case.format == format.to_string());
            assert!(tried, "no case of {format}");
        }
        for case in cases {
            let format = all.iter().find(|f| f.to_string() == case.format).unwrap();
            let hex = |i| u8::from_str_radix(&case.bytes[i..i + 2], 16).unwrap();
            let bytes: Vec<u8> = (0..case.bytes.len()).step_by(2).map(hex).collect();
            let values: Vec<f32> = format.read(&mut &bytes[..], case.values.len()).unwrap();
            // Bit for bit, except that −0 and 0 are one number in JSON.
            assert_eq!(values, case.values, "{format} {}", case.bytes);
        }
    }

    #[test]
    fn f64_is_read_whole() {
        let bytes: Vec<u8> =
            [1.0 / 3.0, -2.5e-300_f64].iter().flat_map(|v| v.to_le_bytes()).collect();
        let format = Format::Plain(StorageDtype::F64);
        assert_eq!(format.read::<f64>(&mut &bytes[..], 2).unwrap(), [1.0 / 3.0, -2.5e-300]);
    }

    #[test]
    fn a_tensor_that_does_not_fill_its_blocks_has_no_size() {
        assert_eq!(Format::Q4_1.bytes(64), Some(40));
        assert_eq!(Format::Q4_1.bytes(48), None);
        assert_eq!(Format::Plain(StorageDtype::F32).bytes(u64::MAX), None);
    }
}
