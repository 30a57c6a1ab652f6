//! A GGUF file, versions 2 and 3: llama.cpp's format, weights, configuration and tokenizer in one.
//!
//! header (magic, version, counts) · metadata (key, type, value) · tensor table (name, dimensions, type, offset) ·
//! padding · tensors. All little-endian. Dimensions are listed innermost first.
//!
//! Every count, length and offset is compared with what is left of the file before anything is allocated for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use adapter::Real;

use super::dequantise::Format;
use super::{bad, io};
use crate::{Config, Error, Llama, Llama3Scaling, Result};

/// An open file, its metadata and its table of tensors.
pub(crate) struct Gguf {
    path: PathBuf,
    source: Source,
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Tensor>,
    /// Where the tensors' bytes begin.
    start: u64,
}

/// A metadata value. Arrays (the vocabulary is one) stay in the file until they are asked for.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Whole(i128),
    Float(f64),
    Bool(bool),
    Text(String),
    Array { kind: u32, count: u64, at: u64 },
}

#[derive(Debug)]
struct Tensor {
    /// Outermost first, as in a Hugging Face checkpoint.
    shape: Vec<usize>,
    format: Format,
    offset: u64,
}

impl Gguf {
    /// Read everything but arrays and tensors.
    ///
    /// # Errors
    /// It is not a GGUF file of a known version, or it is cut off, or its counts and offsets do not fit its size.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(io(path))?;
        let size = file.metadata().map_err(io(path))?.len();
        let mut source = Source { reader: BufReader::new(file), at: 0, size };
        let mut parse = || -> Outcome<_> {
            let (tensor_count, metadata_count) = header(&mut source)?;
            let metadata = metadata(&mut source, metadata_count)?;
            let alignment = alignment(&metadata)?;
            let tensors = tensor_table(&mut source, tensor_count, alignment)?;
            let start = source.at.next_multiple_of(alignment);
            check_extent(&tensors, start, size)?;
            Ok((metadata, tensors, start))
        };
        let (metadata, tensors, start) = parse().map_err(|reason| bad(path, reason))?;
        Ok(Self { path: path.to_owned(), source, metadata, tensors, start })
    }

    /// How most of the weights are stored.
    pub fn format(&self) -> Format {
        self.tensors.get("blk.0.attn_q.weight").map_or(Format::F32, |tensor| tensor.format)
    }

    /// Build the model.
    ///
    /// # Errors
    /// It is not a Llama, or a number or a tensor is missing or wrong.
    pub fn model<T: Real>(&mut self) -> Result<Llama<T>> {
        let mut config = self.config().map_err(|reason| bad(&self.path, reason))?;
        config.validate().map_err(|error| match error {
            Error::Config(reason) => bad(&self.path, reason),
            other => other,
        })?;
        let mut left: BTreeSet<String> = self.tensors.keys().cloned().collect();
        if left.remove(ROPE_FACTORS) {
            let factors = self.read::<f64>(ROPE_FACTORS, &[config.head_dim / 2])?;
            config.rope_scaling =
                llama3_scaling(&config, &factors).map_err(|reason| bad(&self.path, reason))?;
        }
        let (heads, key_heads) = (config.num_attention_heads, config.num_key_value_heads);
        let model = Llama::build(config, |name, shape| {
            let stored = stored_name(name);
            left.remove(&stored);
            let values = self.read(&stored, shape)?;
            Ok(match stored.rsplit('.').nth(1) {
                Some("attn_q") => rotate_halves(&values, heads, shape[1]),
                Some("attn_k") => rotate_halves(&values, key_heads, shape[1]),
                _ => values,
            })
        })?;
        match left.into_iter().next() {
            // A tensor that is not read is a part of the model that is not computed.
            Some(name) => Err(bad(&self.path, format!("{name} is no tensor of this architecture"))),
            None => Ok(model),
        }
    }

    /// The tokenizer, if there is one.
    #[cfg(feature = "tokenizer")]
    pub fn tokenizer(&mut self) -> Result<Option<crate::Tokenizer>> {
        if !self.metadata.contains_key("tokenizer.ggml.model") {
            return Ok(None);
        }
        let vocabulary = self.vocabulary().map_err(|reason| bad(&self.path, reason))?;
        let tokenizer = crate::Tokenizer::from_vocabulary(vocabulary);
        tokenizer.map(Some).map_err(|reason| bad(&self.path, reason))
    }

    #[cfg(feature = "tokenizer")]
    fn vocabulary(&mut self) -> Outcome<crate::tokenizer::Vocabulary> {
        let key = |name: &str| format!("tokenizer.ggml.{name}");
        let mut ids = BTreeMap::new();
        for name in ["bos", "eos", "eot", "eom", "unknown", "padding"] {
            if let Some(id) = self.optional_size(&key(&format!("{name}_token_id")))? {
                let id = u32::try_from(id).map_err(|_| format!("{name}_token_id is {id}"))?;
                ids.insert(name, id);
            }
        }
        Ok(crate::tokenizer::Vocabulary {
            model: self.text(&key("model"))?.unwrap_or_default(),
            pre: self.text(&key("pre"))?,
            tokens: self.strings(&key("tokens"))?.ok_or("tokenizer.ggml.tokens is missing")?,
            scores: self.numbers(&key("scores"))?,
            types: self.numbers(&key("token_type"))?,
            merges: self.strings(&key("merges"))?,
            ids,
            add_bos: self.flag(&key("add_bos_token"))?,
            add_eos: self.flag(&key("add_eos_token"))?,
            add_space_prefix: self.flag(&key("add_space_prefix"))?,
            chat_template: self.text("tokenizer.chat_template")?,
        })
    }

    /// The configuration, by llama.cpp's names.
    fn config(&self) -> Outcome<Config> {
        match self.text("general.architecture")?.as_deref() {
            Some("llama") => {}
            Some(name) => {
                return Err(format!("architecture {name:?} is unknown: only \"llama\" is read"));
            }
            None => return Err("general.architecture is missing".into()),
        }
        let size = |name: &str| {
            let key = format!("llama.{name}");
            self.optional_size(&key)?.ok_or_else(|| format!("{key} is missing"))
        };
        let optional = |name: &str| self.optional_size(&format!("llama.{name}"));
        if optional("expert_count")?.is_some_and(|count| count > 0) {
            return Err("llama.expert_count is not 0: mixtures of experts are not read".into());
        }
        match self.text("llama.rope.scaling.type")?.as_deref() {
            None | Some("none") => {}
            Some(kind) => return Err(format!("llama.rope.scaling.type {kind:?} is not computed")),
        }
        let hidden_size = size("embedding_length")?;
        let heads = size("attention.head_count")?;
        let head_dim = match optional("attention.key_length")? {
            Some(head_dim) => head_dim,
            None if heads > 0 && hidden_size % heads == 0 => hidden_size / heads,
            None => {
                return Err(format!(
                    "llama.embedding_length is {hidden_size}, not a multiple of llama.attention.head_count, {heads}"
                ));
            }
        };
        for name in ["attention.value_length", "rope.dimension_count"] {
            if let Some(other) = optional(name)?.filter(|&other| other != head_dim) {
                return Err(format!(
                    "llama.{name} is {other} and the width of a head {head_dim}: they must be equal"
                ));
            }
        }
        let embedding = self
            .tensors
            .get("token_embd.weight")
            .ok_or("the tensor token_embd.weight is missing")?;
        Ok(Config {
            vocab_size: *embedding.shape.first().ok_or("token_embd.weight is a single number")?,
            hidden_size,
            intermediate_size: size("feed_forward_length")?,
            num_hidden_layers: size("block_count")?,
            num_attention_heads: heads,
            num_key_value_heads: optional("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            rms_norm_eps: self
                .float("llama.attention.layer_norm_rms_epsilon")?
                .ok_or("llama.attention.layer_norm_rms_epsilon is missing")?,
            rope_theta: self.float("llama.rope.freq_base")?.unwrap_or(10_000.0),
            rope_scaling: None,
            max_position_embeddings: optional("context_length")?.unwrap_or(2048),
            tie_word_embeddings: !self.tensors.contains_key("output.weight"),
        })
    }

    fn read<T: Real>(&mut self, name: &str, shape: &[usize]) -> Result<Vec<T>> {
        let tensor = self.tensors.get(name);
        let tensor =
            tensor.ok_or_else(|| bad(&self.path, format!("the tensor {name} is missing")))?;
        super::check_shape(&self.path, name, &tensor.shape, shape)?;
        let mut read = || {
            self.source.reader.seek(SeekFrom::Start(self.start + tensor.offset))?;
            tensor.format.read(&mut self.source.reader, shape.iter().product())
        };
        read().map_err(io(&self.path))
    }

    fn optional_size(&self, key: &str) -> Outcome<Option<usize>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(&Value::Whole(size)) if usize::try_from(size).is_ok() => Ok(Some(size as usize)),
            Some(Value::Array { .. }) => {
                Err(format!("{key} differs by layer: all layers of a Llama have the same"))
            }
            Some(other) => Err(format!("{key} is {other:?}: it must be a whole number")),
        }
    }

    fn float(&self, key: &str) -> Outcome<Option<f64>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(&Value::Float(value)) => Ok(Some(value)),
            Some(other) => Err(format!("{key} is {other:?}: it must be a float")),
        }
    }

    fn text(&self, key: &str) -> Outcome<Option<String>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text.clone())),
            Some(other) => Err(format!("{key} is {other:?}: it must be a text")),
        }
    }

    #[cfg(feature = "tokenizer")]
    fn flag(&self, key: &str) -> Outcome<Option<bool>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(&Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(format!("{key} is {other:?}: it must be true or false")),
        }
    }

    #[cfg(feature = "tokenizer")]
    fn strings(&mut self, key: &str) -> Outcome<Option<Vec<String>>> {
        let Some((kind, count)) = self.seek_array(key)? else {
            return Ok(None);
        };
        if kind != STRING {
            return Err(format!("{key} is an array of {}: it must hold strings", kind_name(kind)));
        }
        let mut strings = Vec::new();
        for _ in 0..count {
            strings.push(self.source.string()?);
        }
        Ok(Some(strings))
    }

    #[cfg(feature = "tokenizer")]
    fn numbers(&mut self, key: &str) -> Outcome<Option<Vec<f64>>> {
        let Some((kind, count)) = self.seek_array(key)? else {
            return Ok(None);
        };
        let mut numbers = Vec::new();
        for _ in 0..count {
            numbers.push(match self.source.value(kind)? {
                Value::Whole(value) => value as f64,
                Value::Float(value) => value,
                _ => {
                    return Err(format!(
                        "{key} is an array of {}: it must hold numbers",
                        kind_name(kind)
                    ));
                }
            });
        }
        Ok(Some(numbers))
    }

    #[cfg(feature = "tokenizer")]
    fn seek_array(&mut self, key: &str) -> Outcome<Option<(u32, u64)>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(&Value::Array { kind, count, at }) => {
                self.source.reader.seek(SeekFrom::Start(at)).map_err(|error| error.to_string())?;
                self.source.at = at;
                Ok(Some((kind, count)))
            }
            Some(other) => Err(format!("{key} is {other:?}: it must be an array")),
        }
    }
}

/// Or the reason why not.
type Outcome<V> = Result<V, String>;

const STRING: u32 = 8;
const ARRAY: u32 = 9;

fn kind_name(kind: u32) -> String {
    const NAMES: [&str; 13] = [
        "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64",
        "f64",
    ];
    NAMES.get(kind as usize).map_or_else(|| format!("the unknown type {kind}"), ToString::to_string)
}

/// (tensors, metadata entries).
fn header(source: &mut Source) -> Outcome<(u64, u64)> {
    if source.array()? != *b"GGUF" {
        return Err("not a GGUF file: it does not begin with \"GGUF\"".into());
    }
    match source.u32()? {
        2 | 3 => {}
        version if version.swap_bytes() <= 3 => {
            return Err("a big-endian GGUF file: only little-endian ones are read".into());
        }
        version => return Err(format!("GGUF version {version}: only 2 and 3 are read")),
    }
    let (tensors, entries) = (source.u64()?, source.u64()?);
    // A tensor takes at least 24 bytes in its table, an entry 13.
    source.check_count("tensors", tensors, 24)?;
    source.check_count("metadata entries", entries, 13)?;
    Ok((tensors, entries))
}

fn metadata(source: &mut Source, count: u64) -> Outcome<BTreeMap<String, Value>> {
    let mut metadata = BTreeMap::new();
    for _ in 0..count {
        let key = source.string()?;
        let kind = source.u32()?;
        let value = source.value(kind).map_err(|reason| format!("metadata {key:?}: {reason}"))?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(format!("metadata {key:?} is there twice"));
        }
    }
    Ok(metadata)
}

fn alignment(metadata: &BTreeMap<String, Value>) -> Outcome<u64> {
    match metadata.get("general.alignment") {
        None => Ok(32),
        Some(&Value::Whole(alignment @ 1..=0x1_0000)) if alignment.count_ones() == 1 => {
            Ok(alignment as u64)
        }
        Some(other) => {
            Err(format!("general.alignment is {other:?}: it must be a power of two up to 65536"))
        }
    }
}

fn tensor_table(
    source: &mut Source,
    count: u64,
    alignment: u64,
) -> Outcome<BTreeMap<String, Tensor>> {
    let mut tensors = BTreeMap::new();
    for _ in 0..count {
        let name = source.string()?;
        let tensor =
            tensor(source, alignment).map_err(|reason| format!("tensor {name:?}: {reason}"))?;
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(format!("tensor {name:?} is there twice"));
        }
    }
    Ok(tensors)
}

fn tensor(source: &mut Source, alignment: u64) -> Outcome<Tensor> {
    let dimensions = source.u32()?;
    if dimensions > 4 {
        return Err(format!("{dimensions} dimensions: at most 4 are possible"));
    }
    let mut shape = Vec::new();
    for _ in 0..dimensions {
        let size = source.u64()?;
        shape.push(usize::try_from(size).map_err(|_| format!("a dimension of {size}"))?);
    }
    let format = format(source.u32()?)?;
    let row = shape.first().copied().unwrap_or(1);
    if row % format.block().0 != 0 {
        return Err(format!("rows of {row} numbers do not fill the blocks of {format}"));
    }
    shape.reverse();
    let offset = source.u64()?;
    if offset % alignment != 0 {
        return Err(format!("offset {offset} is not a multiple of the alignment, {alignment}"));
    }
    Ok(Tensor { shape, format, offset })
}

/// Do the tensors lie in the file, apart from each other?
fn check_extent(tensors: &BTreeMap<String, Tensor>, start: u64, size: u64) -> Outcome<()> {
    let available = size.saturating_sub(start);
    let mut spans = Vec::new();
    for (name, tensor) in tensors {
        let count =
            tensor.shape.iter().try_fold(1u64, |count, &size| count.checked_mul(size as u64));
        let bytes = count.and_then(|count| tensor.format.bytes(count));
        let end = bytes.and_then(|bytes| tensor.offset.checked_add(bytes));
        let end = end.filter(|&end| end <= available).ok_or_else(|| {
            format!(
                "tensor {name:?} of shape {:?} at offset {} reaches beyond the {available} bytes of tensors: the file \
                 is cut off or lies",
                tensor.shape, tensor.offset
            )
        })?;
        spans.push((tensor.offset, end, name));
    }
    spans.sort_unstable();
    match spans.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        Some(pair) => Err(format!("tensors {:?} and {:?} overlap", pair[0].2, pair[1].2)),
        None => Ok(()),
    }
}

/// ggml's number for a type of tensor.
fn format(number: u32) -> Outcome<Format> {
    let name = match number {
        0 => return Ok(Format::F32),
        1 => return Ok(Format::F16),
        2 => return Ok(Format::Q4_0),
        3 => return Ok(Format::Q4_1),
        8 => return Ok(Format::Q8_0),
        28 => return Ok(Format::F64),
        30 => return Ok(Format::Bf16),
        6 => "Q5_0",
        7 => "Q5_1",
        9 => "Q8_1",
        10 => "Q2_K",
        11 => "Q3_K",
        12 => "Q4_K",
        13 => "Q5_K",
        14 => "Q6_K",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        _ => return Err(format!("the type number {number} is unknown: {READABLE}")),
    };
    Err(format!("the type {name} is not read: {READABLE}"))
}

const READABLE: &str = "give a file in F32, F16, BF16, Q8_0, Q4_0 or Q4_1";
const ROPE_FACTORS: &str = "rope_freqs.weight";

/// llama.cpp's name for a tensor, from Hugging Face's.
fn stored_name(name: &str) -> String {
    const MODULES: [(&str, &str); 12] = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("input_layernorm", "attn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("post_attention_layernorm", "ffn_norm"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    let module = name.strip_suffix(".weight").unwrap_or(name);
    let (block, module) = match module.strip_prefix("model.layers.").and_then(|m| m.split_once('.'))
    {
        Some((layer, module)) => (format!("blk.{layer}."), module),
        None => (String::new(), module),
    };
    let stored =
        MODULES.iter().find(|(theirs, _)| *theirs == module).map_or(module, |(_, ours)| ours);
    format!("{block}{stored}.weight")
}

/// Put the rows of q or k back where Hugging Face has them.
///
/// RoPE turns pairs of rows of a head. llama.cpp stores the two rows of pair i next to each other, 2i and 2i + 1;
/// Hugging Face half a head apart, i and i + head_dim / 2.
fn rotate_halves<T: Copy>(values: &[T], heads: usize, width: usize) -> Vec<T> {
    let half = values.len() / width / heads / 2;
    let mut rows = Vec::with_capacity(values.len());
    for head in values.chunks_exact(2 * half * width) {
        for second in 0..2 {
            for pair in head.chunks_exact(2 * width) {
                rows.extend_from_slice(&pair[second * width..][..width]);
            }
        }
    }
    rows
}

/// The Llama 3 scaling whose divisors of the frequencies are `factors`.
///
/// A GGUF file holds the divisors, not the four numbers they come from. Every published model has the same three of
/// them, and the largest divisor is the fourth.
fn llama3_scaling(config: &Config, factors: &[f64]) -> Outcome<Option<Llama3Scaling>> {
    let factor = factors.iter().copied().fold(1.0, f64::max);
    if factors.iter().all(|&factor| factor == 1.0) {
        return Ok(None);
    }
    let scaling = Llama3Scaling {
        factor,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    let plain = config.frequencies();
    let scaled = Config { rope_scaling: Some(scaling), ..config.clone() }.frequencies();
    let same = |((plain, scaled), factor): ((&f64, &f64), &f64)| {
        // The file's f32 were computed in f32, so several roundings apart.
        (plain / scaled / factor - 1.0).abs() <= 1e-5
    };
    match plain.iter().zip(&scaled).zip(factors).all(same) {
        true => Ok(Some(scaling)),
        false => Err(format!(
            "{ROPE_FACTORS} is not the RoPE scaling of Llama 3: give the Hugging Face folder"
        )),
    }
}

/// A file read from front to back, with what is left of it.
struct Source {
    reader: BufReader<File>,
    at: u64,
    size: u64,
}

impl Source {
    fn array<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        self.check_count("bytes", N as u64, 1)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn u32(&mut self) -> Outcome<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Outcome<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn string(&mut self) -> Outcome<String> {
        let length = self.u64()?;
        self.check_count("bytes of a string", length, 1)?;
        let mut bytes = vec![0; length as usize];
        self.reader.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        self.at += length;
        String::from_utf8(bytes).map_err(|error| format!("a string is not UTF-8: {error}"))
    }

    fn skip(&mut self, bytes: u64) -> Outcome<()> {
        self.check_count("bytes", bytes, 1)?;
        // Less than a file's size, which an i64 holds.
        self.reader.seek_relative(bytes as i64).map_err(|error| error.to_string())?;
        self.at += bytes;
        Ok(())
    }

    /// Could `count` things of at least `bytes` each still follow?
    fn check_count(&self, what: &str, count: u64, bytes: u64) -> Outcome<()> {
        let left = self.size - self.at;
        if count.checked_mul(bytes).is_some_and(|bytes| bytes <= left) {
            return Ok(());
        }
        Err(format!(
            "{count} {what} are claimed at byte {} and {left} bytes are left: cut off, or a lie",
            self.at
        ))
    }

    fn value(&mut self, kind: u32) -> Outcome<Value> {
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
                [other] => Err(format!("a bool of {other}")),
            },
            STRING => self.string().map(Value::Text),
            ARRAY => self.skip_array(),
            10 => whole(self.u64()?.into()),
            11 => whole(i64::from_le_bytes(self.array()?).into()),
            12 => Ok(Value::Float(f64::from_le_bytes(self.array()?))),
            _ => Err(format!("{} of metadata", kind_name(kind))),
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
            _ => return Err(format!("an array of {}", kind_name(kind))),
        };
        self.check_count("numbers of an array", count, size)?;
        self.skip(count * size)?;
        Ok(Value::Array { kind, count, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_return_to_where_llama_cpp_took_them_from() {
        // Two heads of four rows of width 2. llama.cpp's converter: reshape (heads, 2, rows/2), swap the last two.
        let original: Vec<u32> = (0..16).collect();
        let row = |r: usize| &original[2 * r..2 * r + 2];
        let stored: Vec<u32> =
            [0, 2, 1, 3, 4, 6, 5, 7].into_iter().flat_map(row).copied().collect();
        assert_eq!(rotate_halves(&stored, 2, 2), original);
    }

    #[test]
    fn the_divisors_of_llama_3_are_recognised() {
        let scaling = Llama3Scaling {
            factor: 32.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        let plain =
            Config { head_dim: 64, rope_theta: 5e5, rope_scaling: None, ..crate::tiny::config() };
        let scaled = Config { rope_scaling: Some(scaling), ..plain.clone() }.frequencies();
        let mut factors: Vec<f64> =
            plain.frequencies().iter().zip(scaled).map(|(plain, scaled)| plain / scaled).collect();
        assert_eq!(llama3_scaling(&plain, &factors), Ok(Some(scaling)));
        factors[16] *= 1.01;
        assert!(llama3_scaling(&plain, &factors).is_err());
        assert_eq!(llama3_scaling(&plain, &[1.0; 32]), Ok(None));
    }
}
