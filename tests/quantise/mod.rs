//! A GGUF file in other types, as `llama-quantize` would choose them: what people have, made from what is at hand.
//!
//! Plain: each block is rounded to the nearest that its largest and smallest numbers allow, without llama.cpp's search for
//! better scales. Whether the bytes are right is for others to say: `tests/parity/smollm2_q4_k_m.py` reads them with
//! llama.cpp's own Python package.

mod blocks;
mod source;

use std::io;
use std::path::Path;

use half::f16;

use self::source::{Source, Tensor};

/// What `llama-quantize` is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, missing_docs)]
pub enum FileType {
    F16,
    Q8_0,
    Q4_K_M,
}

impl FileType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F16, Self::Q8_0, Self::Q4_K_M];

    /// llama.cpp's number in `general.file_type`.
    fn number(self) -> u32 {
        match self {
            Self::F16 => 1,
            Self::Q8_0 => 7,
            Self::Q4_K_M => 15,
        }
    }

    /// The type of a tensor: vectors stay as they are; where rows do not fill blocks of 256, llama.cpp takes the type of
    /// blocks of 32 that is a little larger.
    fn of(self, tensor: &Tensor, layers: usize) -> Type {
        let whole = tensor.dimensions[0].is_multiple_of(256);
        match self {
            _ if tensor.dimensions.len() == 1 => Type::F32,
            Self::F16 => Type::F16,
            Self::Q8_0 => Type::Q8_0,
            Self::Q4_K_M if gets_more_bits(&tensor.name, layers) => {
                [Type::Q8_0, Type::Q6K][usize::from(whole)]
            }
            Self::Q4_K_M => [Type::Q5_0, Type::Q4K][usize::from(whole)],
        }
    }
}

/// The M of Q4_K_M: the embedding where it is the output too, and values and down projections of the first and the last
/// eighth of the layers and of every third one between.
fn gets_more_bits(name: &str, layers: usize) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        ["token_embd" | "output", _] => true,
        ["blk", layer, "attn_v" | "ffn_down", _] => {
            let (layer, eighth) = (layer.parse().unwrap_or(0), layers / 8);
            layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
        }
        _ => false,
    }
}

/// ggml's types that are written.
#[derive(Clone, Copy)]
enum Type {
    F32,
    F16,
    Q5_0,
    Q8_0,
    Q4K,
    Q6K,
}

impl Type {
    fn number(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q5_0 => 6,
            Self::Q8_0 => 8,
            Self::Q4K => 12,
            Self::Q6K => 14,
        }
    }

    fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::F16 => {
                values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect()
            }
            Self::Q5_0 => values.chunks_exact(32).flat_map(blocks::q5_0).collect(),
            Self::Q8_0 => values.chunks_exact(32).flat_map(blocks::q8_0).collect(),
            Self::Q4K => values.chunks_exact(256).flat_map(blocks::q4_k).collect(),
            Self::Q6K => values.chunks_exact(256).flat_map(blocks::q6_k).collect(),
        }
    }
}

/// Write the model of a GGUF file in F32, Q4_1 and Q8_0 once more, in other types. The same file gives the same bytes.
///
/// # Errors
/// `source` cannot be read or is no such file; `out` cannot be written.
pub fn quantise(source: &Path, file_type: FileType, out: &Path) -> io::Result<()> {
    let bytes = std::fs::read(source)?;
    let source = Source::parse(&bytes, file_type.number())?;
    let layers =
        source.tensors.iter().filter(|tensor| tensor.name.ends_with("attn_v.weight")).count();
    let (mut table, mut data) = (Vec::new(), Vec::new());
    for tensor in &source.tensors {
        let kind = file_type.of(tensor, layers);
        table.extend((tensor.name.len() as u64).to_le_bytes());
        table.extend(tensor.name.as_bytes());
        table.extend((tensor.dimensions.len() as u32).to_le_bytes());
        table.extend(tensor.dimensions.iter().flat_map(|&size| (size as u64).to_le_bytes()));
        table.extend(kind.number().to_le_bytes());
        table.extend((data.len() as u64).to_le_bytes());
        data.extend(kind.encode(&source.values(tensor)?));
        data.resize(data.len().next_multiple_of(32), 0);
    }
    let mut file = [&source.head[..], &table].concat();
    file.resize(file.len().next_multiple_of(32), 0);
    file.extend(data);
    std::fs::write(out, file)
}
