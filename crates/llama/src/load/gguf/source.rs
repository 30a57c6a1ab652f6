//! Numbers, texts and metadata values, read from front to back.
//!
//! Every count and length is compared with what is left of the file before anything is allocated for it.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};

use super::problem::{Outcome, wrong};

/// A metadata value. Arrays (the vocabulary is one) stay in the file until they are asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Whole(i128),
    Float(f64),
    Bool(bool),
    Text(String),
    Array { kind: u32, count: u64, at: u64 },
}

/// For a message: numbers as they are, and of what may be long only what it is.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Bool(value) => value.fmt(f),
            Self::Text(_) => f.write_str("a text"),
            Self::Array { .. } => f.write_str("an array"),
        }
    }
}

pub const STRING: u32 = 8;
const ARRAY: u32 = 9;

pub fn kind_name(kind: u32) -> String {
    const NAMES: [&str; 13] = [
        "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64",
        "f64",
    ];
    NAMES.get(kind as usize).map_or_else(|| format!("the unknown type {kind}"), ToString::to_string)
}

/// A file read from front to back, with what is left of it.
pub struct Source {
    pub reader: BufReader<File>,
    pub at: u64,
    pub size: u64,
}

impl Source {
    pub fn array<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        self.check_count("bytes", N as u64, 1)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }

    pub fn u32(&mut self) -> Outcome<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Outcome<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn string(&mut self) -> Outcome<String> {
        let length = self.u64()?;
        self.check_count("bytes of a string", length, 1)?;
        let mut bytes = vec![0; length as usize];
        self.reader.read_exact(&mut bytes)?;
        self.at += length;
        String::from_utf8(bytes).map_err(|error| format!("a string is not UTF-8: {error}").into())
    }

    fn skip(&mut self, bytes: u64) -> Outcome<()> {
        self.check_count("bytes", bytes, 1)?;
        // Less than a file's size, which an i64 holds.
        self.reader.seek_relative(bytes as i64)?;
        self.at += bytes;
        Ok(())
    }

    /// Could `count` things of at least `bytes` each still follow?
    pub fn check_count(&self, what: &str, count: u64, bytes: u64) -> Outcome<()> {
        let left = self.size - self.at;
        if count.checked_mul(bytes).is_some_and(|bytes| bytes <= left) {
            return Ok(());
        }
        wrong(format!(
            "{count} {what} are claimed at byte {} and {left} bytes are left: cut off, or a lie",
            self.at
        ))
    }

    pub fn value(&mut self, kind: u32) -> Outcome<Value> {
        let whole = |value: i128| Ok(Value::Whole(value));
        match kind {
            0 => whole(u8::from_le_bytes(self.array()?).into()),
            1 => whole(i8::from_le_bytes(self.array()?).into()),
            2 => whole(u16::from_le_bytes(self.array()?).into()),
            3 => whole(i16::from_le_bytes(self.array()?).into()),
            4 => whole(self.u32()?.into()),
            5 => whole(i32::from_le_bytes(self.array()?).into()),
            6 => Ok(Value::Float(f32::from_le_bytes(self.array()?).into())),
            7 => match self.array()? {
                [0] => Ok(Value::Bool(false)),
                [1] => Ok(Value::Bool(true)),
                [other] => wrong(format!("a bool of {other}")),
            },
            STRING => self.string().map(Value::Text),
            ARRAY => self.skip_array(),
            10 => whole(self.u64()?.into()),
            11 => whole(i64::from_le_bytes(self.array()?).into()),
            12 => Ok(Value::Float(f64::from_le_bytes(self.array()?))),
            _ => wrong(format!("{} of metadata", kind_name(kind))),
        }
    }

    fn skip_array(&mut self) -> Outcome<Value> {
        let (kind, count) = (self.u32()?, self.u64()?);
        let at = self.at;
        let size = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            STRING => {
                self.check_count("strings", count, 8)?;
                for _ in 0..count {
                    let length = self.u64()?;
                    self.skip(length)?;
                }
                return Ok(Value::Array { kind, count, at });
            }
            _ => return wrong(format!("an array of {}", kind_name(kind))),
        };
        self.check_count("numbers of an array", count, size)?;
        self.skip(count * size)?;
        Ok(Value::Array { kind, count, at })
    }
}
