//! The file that is written anew: its metadata as they are, its tensors as numbers.

use std::io::{self, ErrorKind};

use half::f16;

pub struct Source<'a> {
    /// Everything before the table of tensors.
    pub head: Vec<u8>,
    pub tensors: Vec<Tensor>,
    data: &'a [u8],
}

pub struct Tensor {
    pub name: String,
    /// Innermost first.
    pub dimensions: Vec<usize>,
    kind: u32,
    offset: usize,
}

impl<'a> Source<'a> {
    pub fn parse(bytes: &'a [u8], file_type: u32) -> io::Result<Self> {
        let mut rest = Rest { bytes, at: 8 };
        let (tensors, entries) = (rest.u64()?, rest.u64()?);
        let mut head_of_type = None;
        for _ in 0..entries {
            let (key, kind) = (rest.string()?, rest.u32()?);
            if key == "general.file_type" {
                head_of_type = Some(rest.at);
            }
            rest.skip(kind)?;
        }
        let mut head = bytes[..rest.at].to_vec();
        if let Some(at) = head_of_type {
            head[at..at + 4].copy_from_slice(&file_type.to_le_bytes());
        }
        let tensors = (0..tensors).map(|_| rest.tensor()).collect::<io::Result<_>>()?;
        let start = rest.at.next_multiple_of(32);
        Ok(Self { head, tensors, data: bytes.get(start..).ok_or(CUT_OFF)? })
    }

    /// A tensor's numbers, row by row.
    pub fn values(&self, tensor: &Tensor) -> io::Result<Vec<f32>> {
        let count: usize = tensor.dimensions.iter().product();
        let bytes = self.data.get(tensor.offset..).ok_or(CUT_OFF)?;
        let half = |bytes: &[u8]| f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
        let mut values: Vec<f32> = match tensor.kind {
            0 => bytes.as_chunks().0.iter().take(count).map(|b| f32::from_le_bytes(*b)).collect(),
            3 => {
                let blocks = bytes.chunks_exact(20).take(count / 32);
                let block = |block: &'a [u8]| {
                    let (d, m) = (half(block), half(&block[2..]));
                    let low = block[4..].iter().map(|q| q & 15);
                    low.chain(block[4..].iter().map(|q| q >> 4)).map(move |q| d * f32::from(q) + m)
                };
                blocks.flat_map(block).collect()
            }
            8 => {
                let blocks = bytes.chunks_exact(34).take(count / 32);
                let block = |block: &'a [u8]| {
                    let d = half(block);
                    block[2..].iter().map(move |&q| d * f32::from(q as i8))
                };
                blocks.flat_map(block).collect()
            }
            kind => {
                let reason =
                    format!("{}: type {kind} is neither F32 nor Q4_1 nor Q8_0", tensor.name);
                return Err(io::Error::new(ErrorKind::Unsupported, reason));
            }
        };
        values.truncate(count);
        if values.len() == count { Ok(values) } else { Err(CUT_OFF.into()) }
    }
}

const CUT_OFF: ErrorKind = ErrorKind::UnexpectedEof;

/// What is left of a file.
struct Rest<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Rest<'_> {
    fn take(&mut self, count: usize) -> io::Result<&[u8]> {
        let taken = self.at.checked_add(count).and_then(|end| self.bytes.get(self.at..end));
        self.at = self.at.saturating_add(count);
        taken.ok_or(CUT_OFF.into())
    }

    fn u32(&mut self) -> io::Result<u32> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn u64(&mut self) -> io::Result<u64> {
        let (low, high) = (self.u32()?, self.u32()?);
        Ok(u64::from(high) << 32 | u64::from(low))
    }

    fn string(&mut self) -> io::Result<String> {
        let length = self.u64()? as usize;
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    /// Go past a value of a type.
    fn skip(&mut self, kind: u32) -> io::Result<()> {
        let size = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 => self.u64()? as usize,
            9 => {
                let (kind, count) = (self.u32()?, self.u64()?);
                return (0..count).try_for_each(|_| self.skip(kind));
            }
            _ => 8,
        };
        self.take(size).map(|_| ())
    }

    fn tensor(&mut self) -> io::Result<Tensor> {
        let (name, dimensions) = (self.string()?, self.u32()?);
        let dimensions =
            (0..dimensions).map(|_| Ok(self.u64()? as usize)).collect::<io::Result<_>>()?;
        Ok(Tensor { name, dimensions, kind: self.u32()?, offset: self.u64()? as usize })
    }
}
