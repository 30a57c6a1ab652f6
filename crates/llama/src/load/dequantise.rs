//! Stored numbers to numbers: plain ones, and llama.cpp's blocks of 32 or 256 numbers that share a scale.
//!
//! | type | bits a number | block | value of element j |
//! |---|---|---|---|
//! | Q8_0 | 8.5 | 32: d, q of 8 bits | d q |
//! | Q5_1 | 6 | 32: d, m, q of 5 bits | d q + m |
//! | Q5_0 | 5.5 | 32: d, q of 5 bits | d (q − 16) |
//! | Q4_1 | 5 | 32: d, m, q of 4 bits | d q + m |
//! | Q4_0 | 4.5 | 32: d, q of 4 bits | d (q − 8) |
//! | IQ4_NL | 4.5 | 32: d, q of 4 bits | d L\[q\] |
//! | MXFP4 | 4.25 | 32: e of 8 bits, q of 4 bits | 2^(e − 128) F\[q\] |
//! | Q6_K | 6.5625 | 256: d, 16 s of 8 bits, q of 6 bits | d s (q − 32) |
//! | Q5_K | 5.5 | 256: d, m, 8 s and 8 t of 6 bits, q of 5 bits | d s q − m t |
//! | Q4_K | 4.5 | 256: d, m, 8 s and 8 t of 6 bits, q of 4 bits | d s q − m t |
//! | IQ4_XS | 4.25 | 256: d, 8 s of 6 bits, q of 4 bits | d (s − 32) L\[q\] |
//! | Q3_K | 3.4375 | 256: d, 16 s of 6 bits, q of 3 bits | d (s − 32) (q − 4) |
//! | Q2_K | 2.625 | 256: d, m, 16 s and 16 t of 4 bits, q of 2 bits | d s q − m t |
//!
//! d and m are f16. In a block of 256, s and t are those of the sub-block that j is in: the scales are quantised too.
//! L is a table of 16 numbers that lie denser around 0, F the 16 numbers of a four-bit float.
//!
//! The products are exact in `f32`, or the last of them is rounded, and so is the difference or the sum: what the file
//! says *is* that `f32`, whatever it is then computed with.

mod blocks_of_256;
mod blocks_of_32;
mod four_bit_tables;

use std::fmt;
use std::io::{self, Read};

use adapter::Real;
use half::f16;
use tensor_file::{Dtype, StorageDtype};

/// How the numbers of a tensor are stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Format {
    Plain(StorageDtype),
    Blocks(&'static Blocks),
}

/// A type of blocks.
#[derive(Debug)]
pub struct Blocks {
    /// Its name in llama.cpp: `Q4_K`.
    pub name: &'static str,
    /// Numbers in a block.
    pub numbers: usize,
    /// Bytes of a block.
    pub bytes: usize,
    /// The numbers of one block.
    decode: fn(&[u8], &mut [f32]),
}

const fn blocks(
    name: &'static str,
    numbers: usize,
    bytes: usize,
    decode: fn(&[u8], &mut [f32]),
) -> Blocks {
    Blocks { name, numbers, bytes, decode }
}

/// ggml's number for each type that is read.
#[rustfmt::skip]
static BLOCKS: [(u32, Blocks); 13] = [
    (2,  blocks("Q4_0",    32,  18, blocks_of_32::q4_0)),
    (3,  blocks("Q4_1",    32,  20, blocks_of_32::q4_1)),
    (6,  blocks("Q5_0",    32,  22, blocks_of_32::q5_0)),
    (7,  blocks("Q5_1",    32,  24, blocks_of_32::q5_1)),
    (8,  blocks("Q8_0",    32,  34, blocks_of_32::q8_0)),
    (10, blocks("Q2_K",   256,  84, blocks_of_256::q2_k)),
    (11, blocks("Q3_K",   256, 110, blocks_of_256::q3_k)),
    (12, blocks("Q4_K",   256, 144, blocks_of_256::q4_k)),
    (13, blocks("Q5_K",   256, 176, blocks_of_256::q5_k)),
    (14, blocks("Q6_K",   256, 210, blocks_of_256::q6_k)),
    (20, blocks("IQ4_NL",  32,  18, four_bit_tables::iq4_nl)),
    (23, blocks("IQ4_XS", 256, 136, four_bit_tables::iq4_xs)),
    (39, blocks("MXFP4",   32,  17, four_bit_tables::mxfp4)),
];

/// Every type of blocks that is read from GGUF files.
pub fn block_types() -> impl Iterator<Item = &'static Blocks> {
    BLOCKS.iter().map(|(_, blocks)| blocks)
}

/// The types that are not read: those with tables of thousands of numbers, those no file has any more, whole numbers.
#[rustfmt::skip]
const UNREAD: [(u32, &str); 20] = [
    (9, "Q8_1"), (15, "Q8_K"), (16, "IQ2_XXS"), (17, "IQ2_XS"), (18, "IQ3_XXS"), (19, "IQ1_S"), (21, "IQ3_S"),
    (22, "IQ2_S"), (24, "I8"), (25, "I16"), (26, "I32"), (27, "I64"), (29, "IQ1_M"), (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"), (33, "Q4_0_8_8"), (34, "TQ1_0"), (35, "TQ2_0"), (40, "NVFP4"), (41, "Q1_0"),
];

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Plain(dtype) => Dtype::from(dtype).fmt(f),
            Self::Blocks(blocks) => f.write_str(blocks.name),
        }
    }
}

impl Format {
    /// By ggml's number.
    ///
    /// # Errors
    /// It is not read: what it is, and the way out.
    pub fn of(number: u32) -> Result<Self, String> {
        let of = |number| BLOCKS.iter().find(|(found, _)| *found == number);
        match number {
            0 => return Ok(Self::Plain(StorageDtype::F32)),
            1 => return Ok(Self::Plain(StorageDtype::F16)),
            28 => return Ok(Self::Plain(StorageDtype::F64)),
            30 => return Ok(Self::Plain(StorageDtype::Bf16)),
            _ => {}
        }
        if let Some((_, blocks)) = of(number) {
            return Ok(Self::Blocks(blocks));
        }
        let what = match UNREAD.iter().find(|(unread, _)| *unread == number) {
            Some((_, name)) => format!("the type {name} is not read"),
            None => format!("the type number {number} is unknown"),
        };
        Err(format!(
            "{what}: take the model's Q8_0 or Q4_K_M file, or make one with llama.cpp, \
             `llama-quantize --allow-requantize IN.gguf OUT.gguf Q8_0`"
        ))
    }

    /// (numbers, bytes) of the smallest piece that can be read alone.
    pub fn block(self) -> (usize, usize) {
        match self {
            Self::Plain(dtype) => (1, dtype.size()),
            Self::Blocks(blocks) => (blocks.numbers, blocks.bytes),
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
        match self {
            Self::Plain(dtype) => dtype.decode(bytes, values),
            Self::Blocks(blocks) => {
                let mut decoded = [0.0; 256];
                let decoded = &mut decoded[..blocks.numbers];
                for block in bytes.chunks_exact(blocks.bytes) {
                    (blocks.decode)(block, decoded);
                    values.extend(decoded.iter().map(|&value| T::from_f64(value.into())));
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

/// The f16 at a place of a block.
fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

// ANCHOR: bits
/// Element j of many small numbers of `WIDTH` bits each.
///
/// The first `RUN` elements are in the lowest bits of as many bytes, the next `RUN` in the next bits of the same bytes,
/// until the bytes are full; then come the next `RUN` bytes. This one rule packs everything in all of the types, but for
/// the scales of Q4_K and Q5_K.
fn bits<const WIDTH: usize, const RUN: usize>(bytes: &[u8], j: usize) -> u8 {
    let elements_of_a_byte = 8 / WIDTH;
    let byte = j / (RUN * elements_of_a_byte) * RUN + j % RUN;
    let place = j / RUN % elements_of_a_byte;
    bytes[byte] >> (place * WIDTH) & ((1 << WIDTH) - 1)
}
// ANCHOR_END: bits

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
        let blocks = block_types().map(Format::Blocks);
        let all: Vec<Format> = plain.into_iter().chain(blocks).collect();
        for format in &all {
            let tried = cases.iter().any(|case| case.format == format.to_string());
            assert!(tried, "no case of {format}");
        }
        for case in cases {
            let format = all.iter().find(|f| f.to_string() == case.format).unwrap();
            let hex = |i| u8::from_str_radix(&case.bytes[i..i + 2], 16).unwrap();
            let bytes: Vec<u8> = (0..case.bytes.len()).step_by(2).map(hex).collect();
            assert_eq!(format.bytes(case.values.len() as u64), Some(bytes.len() as u64));
            let values: Vec<f32> = format.read(&mut &bytes[..], case.values.len()).unwrap();
            // Bit for bit, except that −0 and 0 are one number in JSON.
            assert_eq!(values, case.values, "{format} {}", case.bytes);
        }
    }

    /// By ggml's numbers, which the golden file has from the package too.
    #[test]
    fn every_type_of_the_package_is_read_or_named() {
        let text = include_str!("../../tests/golden/dequantise.json");
        let golden: serde_json::Value = serde_json::from_str(text).unwrap();
        for (name, number) in golden["types"].as_object().unwrap() {
            let number = u32::try_from(number.as_u64().unwrap()).unwrap();
            match Format::of(number) {
                Ok(format) => assert_eq!(&format.to_string(), name),
                Err(error) => assert!(error.contains(&format!("type {name} is not")), "{error}"),
            }
        }
    }

    #[test]
    fn the_readme_has_every_type() {
        let readme = include_str!("../../README.md");
        for Blocks { name, .. } in block_types() {
            assert!(readme.contains(&format!("`{name}`")), "{name}");
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
        let q4_1 = Format::of(3).unwrap();
        assert_eq!(q4_1.bytes(64), Some(40));
        assert_eq!(q4_1.bytes(48), None);
        assert_eq!(Format::Plain(StorageDtype::F32).bytes(u64::MAX), None);
    }
}
