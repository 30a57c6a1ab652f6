//! Files that lie, are cut off or were changed: an error that says what is wrong, never a panic, and never an
//! allocation that the file's size does not justify.

use std::alloc::System;
use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};

use cap::Cap;
use llama::load::load;
use llama::save::save;
use llama::{Config, Llama, Variant};
use proptest::prelude::*;
use tempfile::TempDir;

/// All files here are below 64 KiB. Above this limit an allocation fails and takes the test process with it.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, 64 << 20);

#[test]
fn the_limit_is_in_force() {
    assert!(Vec::<u8>::new().try_reserve_exact(65 << 20).is_err());
}

fn tiny_gguf() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny.gguf")).unwrap()
}

/// A folder with a valid model of two layers.
fn folder() -> TempDir {
    let config = Config {
        vocab_size: 6,
        hidden_size: 4,
        intermediate_size: 3,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 2,
        rms_norm_eps: 1e-5,
        rope_theta: 100.0,
        rope_scaling: None,
        max_position_embeddings: 8,
        tie_word_embeddings: true,
        variant: Variant::default(),
    };
    let model =
        Llama::<f32>::build(config, |_, shape| Ok(vec![0.5; shape.iter().product()])).unwrap();
    let folder = tempfile::tempdir().unwrap();
    save(&model, folder.path()).unwrap();
    folder
}

/// The message and those of its causes, as a program prints them.
fn error(path: impl AsRef<Path>) -> String {
    let error = load::<f32>(path).map(|_| ()).expect_err("it must not load");
    let (mut line, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

fn expect(what: &str, error: &str, expected: &str) {
    assert!(error.contains(expected), "{what}: {error:?} does not say {expected:?}");
    assert_eq!(error.lines().count(), 1, "{what}: {error}");
}

/// A GGUF file under construction.
struct Gguf {
    version: u32,
    counts: Option<(u64, u64)>,
    metadata: Vec<(&'static str, u32, Vec<u8>)>,
    tensors: Vec<(&'static str, Vec<u64>, u32, u64)>,
    data: usize,
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

impl Gguf {
    fn new() -> Self {
        let number = |value: u32| value.to_le_bytes().to_vec();
        let metadata = vec![
            ("general.architecture", 8, text("llama")),
            ("llama.block_count", 4, number(1)),
            ("llama.embedding_length", 4, number(32)),
            ("llama.feed_forward_length", 4, number(32)),
            ("llama.attention.head_count", 4, number(2)),
            ("llama.attention.layer_norm_rms_epsilon", 6, 1e-5_f32.to_le_bytes().to_vec()),
        ];
        let tensors = vec![("token_embd.weight", vec![32, 8], 0, 0)];
        Self { version: 3, counts: None, metadata, tensors, data: 1024 }
    }

    fn set(&mut self, key: &'static str, kind: u32, value: Vec<u8>) {
        self.metadata.retain(|entry| entry.0 != key);
        self.metadata.push((key, kind, value));
    }

    fn bytes(&self) -> Vec<u8> {
        let lengths = (self.tensors.len() as u64, self.metadata.len() as u64);
        let (tensors, entries) = self.counts.unwrap_or(lengths);
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(tensors.to_le_bytes());
        bytes.extend(entries.to_le_bytes());
        for (key, kind, value) in &self.metadata {
            bytes.extend(text(key));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(value);
        }
        for (name, shape, kind, offset) in &self.tensors {
            bytes.extend(text(name));
            bytes.extend((shape.len() as u32).to_le_bytes());
            bytes.extend(shape.iter().flat_map(|size| size.to_le_bytes()));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(32) + self.data, 0);
        bytes
    }
}

#[test]
fn gguf_files_that_lie() {
    let array = |kind: u32, count: u64, rest: &[u8]| {
        [&kind.to_le_bytes()[..], &count.to_le_bytes(), rest].concat()
    };
    let number = |value: u32| value.to_le_bytes().to_vec();
    type Change<'a> = Box<dyn Fn(&mut Gguf) + 'a>;
    let set = |key, kind, value: Vec<u8>| -> Change<'_> {
        Box::new(move |g: &mut Gguf| g.set(key, kind, value.clone()))
    };
    let tensor = |shape: &[u64], kind, offset| -> Change<'_> {
        let tensor = ("token_embd.weight", shape.to_vec(), kind, offset);
        Box::new(move |g: &mut Gguf| g.tensors[0] = tensor.clone())
    };
    let cases: Vec<(&str, Change<'_>, &str)> = vec![
        (
            "nothing wrong but missing tensors",
            Box::new(|_| ()),
            "the tensor blk.0.attn_q.weight is missing",
        ),
        ("version 1", Box::new(|g| g.version = 1), "GGUF version 1: only 2 and 3"),
        ("version 4", Box::new(|g| g.version = 4), "GGUF version 4: only 2 and 3"),
        ("big-endian", Box::new(|g| g.version = 3u32.swap_bytes()), "big-endian"),
        (
            "too many tensors",
            Box::new(|g| g.counts = Some((u64::MAX, 6))),
            "18446744073709551615 tensors are claimed",
        ),
        (
            "too many entries",
            Box::new(|g| g.counts = Some((1, 1 << 40))),
            "1099511627776 metadata entries are claimed",
        ),
        (
            "more entries than there are",
            Box::new(|g| g.counts = Some((1, 60))),
            "cut off, or a lie",
        ),
        (
            "another architecture",
            set("general.architecture", 8, text("gpt2")),
            "architecture \"gpt2\" is unknown: only \"llama\", \"qwen2\", \"qwen3\", \"smollm3\", \"granite\", \"olmo2\"",
        ),
        (
            "no architecture",
            Box::new(|g| {
                g.metadata.remove(0);
            }),
            "general.architecture is missing",
        ),
        (
            "architecture 7",
            set("general.architecture", 4, number(7)),
            "general.architecture is 7: it must be a text",
        ),
        (
            "long string",
            set("general.name", 8, u64::MAX.to_le_bytes().to_vec()),
            "bytes of a string are claimed",
        ),
        (
            "not UTF-8",
            set("general.name", 8, [&2u64.to_le_bytes()[..], &[0xFF, 0xFE]].concat()),
            "not UTF-8",
        ),
        ("long array", set("a", 9, array(10, 1 << 61, &[])), "numbers of an array are claimed"),
        ("long array of strings", set("a", 9, array(8, 1 << 60, &[])), "strings are claimed"),
        ("array of arrays", set("a", 9, array(9, 1, &[])), "metadata \"a\": an array of array"),
        ("unknown type", set("a", 13, vec![]), "metadata \"a\": the unknown type 13"),
        ("bool of 2", set("a", 7, vec![2]), "metadata \"a\": a bool of 2"),
        (
            "a key twice",
            Box::new(|g| g.metadata.push(("llama.block_count", 4, vec![1, 0, 0, 0]))),
            "is there twice",
        ),
        ("alignment 0", set("general.alignment", 4, number(0)), "general.alignment"),
        (
            "alignment 48",
            set("general.alignment", 4, number(48)),
            "general.alignment is 48: it must be a power of two",
        ),
        (
            "no heads",
            set("llama.attention.head_count", 4, number(0)),
            "llama.attention.head_count, 0",
        ),
        (
            "no key heads",
            set("llama.attention.head_count_kv", 4, number(0)),
            "num_key_value_heads is 0",
        ),
        (
            "negative size",
            set("llama.block_count", 5, (-1i32).to_le_bytes().to_vec()),
            "it must be a whole number",
        ),
        (
            "many layers",
            set("llama.block_count", 4, number(u32::MAX)),
            "num_hidden_layers is 4294967295",
        ),
        (
            "many layers, few tensors",
            set("llama.block_count", 4, number(1 << 16)),
            "attn_q.weight is missing",
        ),
        (
            "heads by layer",
            set("llama.attention.head_count", 9, array(4, 1, &[2, 0, 0, 0])),
            "differs by layer",
        ),
        ("experts", set("llama.expert_count", 4, number(8)), "mixtures of experts"),
        (
            "another scaling of RoPE",
            set("llama.rope.scaling.type", 8, text("longrope")),
            "llama.rope.scaling.type \"longrope\" is not computed",
        ),
        (
            "YaRN with a part that is not computed",
            Box::new(|g| {
                g.set("llama.rope.scaling.type", 8, text("yarn"));
                g.set("llama.rope.scaling.factor", 6, 4f32.to_le_bytes().to_vec());
                g.set("llama.rope.scaling.attn_factor", 6, 2f32.to_le_bytes().to_vec());
            }),
            "llama.rope.scaling.attn_factor is 2: only 1 is computed",
        ),
        (
            "a factor below 1 and no type",
            set("llama.rope.scaling.factor", 6, 0.5f32.to_le_bytes().to_vec()),
            "factor of rope_scaling is 0.5: it must be at least 1",
        ),
        (
            "an old factor below 1",
            set("llama.rope.scale_linear", 6, 0.5f32.to_le_bytes().to_vec()),
            "factor of rope_scaling is 0.5: it must be at least 1",
        ),
        (
            "two scalings",
            Box::new(|g| {
                g.set("llama.rope.scaling.factor", 6, 2f32.to_le_bytes().to_vec());
                g.tensors.push(("rope_freqs.weight", vec![8], 0, 1024));
                g.data += 32;
            }),
            "rope_freqs.weight and a rope.scaling.factor: one of them is read",
        ),
        (
            "norms that are not this architecture's",
            Box::new(|g| {
                g.tensors.push(("blk.0.attn_q_norm.weight", vec![16], 0, 1024));
                g.data += 64;
            }),
            "norms of queries and keys are not those of a Llama",
        ),
        (
            "an adapter",
            set("general.type", 8, text("adapter")),
            "general.type is \"adapter\": it changes a model and is none",
        ),
        (
            "a vision projector",
            set("general.type", 8, text("mmproj")),
            "general.type is \"mmproj\": only a \"model\" is read",
        ),
        (
            "another architecture, whose tokenizer is not known either",
            Box::new(|g| {
                g.set("general.architecture", 8, text("gemma3n"));
                g.set("tokenizer.ggml.model", 8, text("gemma"));
            }),
            "architecture \"gemma3n\" is unknown",
        ),
        (
            "a part beyond the last",
            Box::new(|g| {
                g.set("split.no", 10, u64::MAX.to_le_bytes().to_vec());
                g.set("split.count", 2, vec![3, 0]);
            }),
            "split.no is 18446744073709551615 and split.count 3",
        ),
        (
            "part of a model, under another name",
            Box::new(|g| {
                g.set("split.no", 2, vec![1, 0]);
                g.set("split.count", 2, vec![0xFF, 0xFF]);
            }),
            "it is part 2 of 65535 and its name does not end in \"-00002-of-65535.gguf\"",
        ),
        (
            "partial RoPE",
            set("llama.rope.dimension_count", 4, number(8)),
            "llama.rope.dimension_count is 8",
        ),
        (
            "eps NaN",
            set("llama.attention.layer_norm_rms_epsilon", 6, f32::NAN.to_le_bytes().to_vec()),
            "rms_norm_eps is NaN",
        ),
        (
            "too wide",
            set("llama.embedding_length", 4, number(1 << 28)),
            "token_embd.weight has shape [8, 32]",
        ),
        ("five dimensions", tensor(&[1; 5], 0, 0), "5 dimensions: at most 4"),
        ("huge", tensor(&[1 << 62, 8], 0, 0), "reaches beyond"),
        ("overflowing", tensor(&[1 << 63, 2], 0, 0), "reaches beyond"),
        ("offset beyond", tensor(&[32, 8], 0, 1 << 40), "reaches beyond"),
        ("offset overflows", tensor(&[32, 8], 0, u64::MAX - 31), "reaches beyond"),
        (
            "offset between",
            tensor(&[32, 8], 0, 4),
            "offset 4 is not a multiple of the alignment, 32",
        ),
        ("IQ2_XS", tensor(&[256, 1], 17, 0), "the type IQ2_XS is not read: take the model's Q8_0"),
        ("type 99", tensor(&[32, 8], 99, 0), "the type number 99 is unknown"),
        (
            "rows that fill no block",
            tensor(&[16, 16], 2, 0),
            "rows of 16 numbers do not fill the blocks of Q4_0",
        ),
        ("a single number", tensor(&[], 0, 0), "token_embd.weight is a single number"),
        ("overlap", Box::new(|g| g.tensors.push(("other", vec![8], 0, 992))), "\"other\" overlap"),
        (
            "a tensor twice",
            Box::new(|g| g.tensors.push(("token_embd.weight", vec![8], 0, 992))),
            "is there twice",
        ),
        ("data cut off", Box::new(|g| g.data = 1023), "the file is cut off or lies"),
        (
            "RoPE factors of another model",
            Box::new(|g| {
                g.tensors.push(("rope_freqs.weight", vec![8], 0, 1024));
                g.data += 32;
            }),
            "not the RoPE scaling of Llama 3",
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    for (what, change, expected) in cases {
        let mut file = Gguf::new();
        change(&mut file);
        fs::write(&path, file.bytes()).unwrap();
        expect(what, &error(&path), expected);
    }
    let mut many = Gguf::new();
    many.set("split.no", 2, vec![0, 0]);
    many.set("split.count", 4, number(u32::MAX));
    let first = folder.path().join("x-00001-of-4294967295.gguf");
    fs::write(&first, many.bytes()).unwrap();
    expect("many parts", &error(&first), "x-00002-of-4294967295.gguf is not beside it");
    fs::write(&path, b"PK\x03\x04 something else").unwrap();
    expect("a zip", &error(&path), "not a GGUF file");
    fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 91\n")
        .unwrap();
    expect("a pointer", &error(&path), "a Git LFS pointer and not the file itself: `git lfs pull`");
    fs::write(&path, b"").unwrap();
    expect("empty", &error(&path), "cut off");
    // A projection's bias would be silently left out.
    let mut bytes = tiny_gguf();
    let at = bytes.windows(19).position(|window| window == b"blk.1.attn_norm.wei").unwrap();
    bytes[at + 4] = b'7';
    fs::write(&path, bytes).unwrap();
    expect("a renamed tensor", &error(&path), "blk.1.attn_norm.weight is missing");
}

#[cfg(feature = "tokenizer")]
#[test]
fn gguf_tokenizers_that_lie() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let strings = |list: &[&str]| {
        let texts: Vec<u8> = list.iter().flat_map(|item| text(item)).collect();
        [&8u32.to_le_bytes()[..], &(list.len() as u64).to_le_bytes(), &texts].concat()
    };
    let array = |kind: u32, count: u64, rest: &[u8]| {
        [&kind.to_le_bytes()[..], &count.to_le_bytes(), rest].concat()
    };
    let base = |model: &str| {
        let mut file = Gguf::new();
        file.set("tokenizer.ggml.model", 8, text(model));
        file.set("tokenizer.ggml.tokens", 9, strings(&["a", "b", "ab"]));
        file.set("tokenizer.ggml.merges", 9, strings(&["a b"]));
        file
    };
    let cases: Vec<(&str, Gguf, &str)> = [
        ("bert", "unknown model", "", 0, vec![], "tokenizer.ggml.model \"bert\" is unknown"),
        (
            "gpt2",
            "unknown words",
            "tokenizer.ggml.pre",
            8,
            text("viking"),
            "tokenizer.ggml.pre \"viking\" is unknown",
        ),
        (
            "gpt2",
            "tokens that are numbers",
            "tokenizer.ggml.tokens",
            9,
            array(4, 1, &[0; 4]),
            "it must hold strings",
        ),
        ("gpt2", "no tokens", "tokenizer.ggml.tokens", 8, text("a"), "it must be an array"),
        (
            "gpt2",
            "a merge of unknown tokens",
            "tokenizer.ggml.merges",
            9,
            strings(&["x y"]),
            "tokenizer.ggml.merges",
        ),
        ("gpt2", "half a merge", "tokenizer.ggml.merges", 9, strings(&["ab"]), "is not two tokens"),
        (
            "gpt2",
            "too few types",
            "tokenizer.ggml.token_type",
            9,
            array(5, 1, &[3, 0, 0, 0]),
            "has 1 entries for 3 tokens",
        ),
        (
            "gpt2",
            "eos beyond",
            "tokenizer.ggml.eos_token_id",
            4,
            vec![3, 0, 0, 0],
            "eos_token_id is 3 and there are 3 tokens",
        ),
        ("llama", "no scores", "", 0, vec![], "tokenizer.ggml.scores is missing"),
    ]
    .into_iter()
    .map(|(model, what, key, kind, value, expected)| {
        let mut file = base(model);
        if !key.is_empty() {
            file.set(key, kind, value);
        }
        (what, file, expected)
    })
    .collect();
    for (what, file, expected) in cases {
        fs::write(&path, file.bytes()).unwrap();
        expect(what, &error(&path), expected);
    }
}

fn safetensors(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
}

#[test]
fn safetensors_files_that_lie() {
    let folder = folder();
    let path = folder.path().join("model.safetensors");
    let entry = |shape: &str, from: u64, to: u64| {
        format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}"#)
    };
    let one = |entry: &str| format!(r#"{{"model.embed_tokens.weight":{entry}}}"#);
    let two = |a: &str, b: &str| format!(r#"{{"model.embed_tokens.weight":{a},"b":{b}}}"#);
    let whole = fs::read(&path).unwrap();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "0 bytes are no safetensors file"),
        ("seven bytes", vec![0; 7], "7 bytes are no safetensors file"),
        (
            "a huge header",
            [&u64::MAX.to_le_bytes()[..], &[0; 100]].concat(),
            "above the limit of 100000000",
        ),
        (
            "a header of 101 MB",
            [&101_000_000u64.to_le_bytes()[..], &[0; 100]].concat(),
            "above the limit",
        ),
        ("a header longer than the file", [&99u64.to_le_bytes()[..], b"{}"].concat(), "cut off"),
        ("no JSON", safetensors("hello", 0), "a wrong safetensors header"),
        ("an array", safetensors("[]", 0), "a wrong safetensors header"),
        ("no tensors", safetensors("{}", 0), "the tensor model.embed_tokens.weight is missing"),
        ("cut off by a byte", whole[..whole.len() - 1].to_vec(), "it is cut off"),
        ("one byte more", [&whole[..], &[0]].concat(), "the file has"),
        (
            "overlapping",
            safetensors(&two(&entry("[6,4]", 0, 96), &entry("[6,4]", 48, 144)), 144),
            "invalid offset",
        ),
        (
            "a gap",
            safetensors(&two(&entry("[6,4]", 0, 96), &entry("[1]", 100, 104)), 104),
            "invalid offset",
        ),
        ("backwards", safetensors(&one(&entry("[6,4]", 96, 0)), 96), "invalid offset"),
        ("too short for its shape", safetensors(&one(&entry("[6,4]", 0, 92)), 92), "invalid shape"),
        (
            "a huge tensor",
            safetensors(&one(&entry("[1099511627776]", 0, 4_398_046_511_104)), 96),
            "cut off",
        ),
        (
            "a shape that overflows",
            safetensors(&one(&entry("[4611686018427387904,8]", 0, 0)), 0),
            "overflow",
        ),
        (
            "offsets at the end of numbers",
            safetensors(&one(&entry("[1]", u64::MAX - 3, u64::MAX)), 4),
            "invalid offset",
        ),
        (
            "a negative offset",
            safetensors(&one(r#"{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}"#), 4),
            "header",
        ),
        (
            "a type there is not",
            safetensors(&one(r#"{"dtype":"F31","shape":[1],"data_offsets":[0,4]}"#), 4),
            "F31",
        ),
        (
            "another shape",
            safetensors(&one(&entry("[4,6]", 0, 96)), 96),
            "has shape [4, 6] where the configuration asks for [6, 4]",
        ),
        ("integers", safetensors(&one(&entry("[6,4]", 0, 96).replace("F32", "I32")), 96), "is I32"),
    ];
    for (what, bytes, expected) in cases {
        fs::write(&path, bytes).unwrap();
        expect(what, &error(folder.path()), expected);
    }
}

#[test]
fn folders_that_lie() {
    let shards = |index: &str| {
        let folder = folder();
        let path = folder.path().join("model.safetensors");
        fs::rename(path, folder.path().join("model-00001-of-00001.safetensors")).unwrap();
        fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
        error(folder.path())
    };
    let map = |file: &str| format!(r#"{{"weight_map":{{"model.embed_tokens.weight":{file}}}}}"#);
    for (what, index, expected) in [
        (
            "a shard above",
            map(r#""../model-00001-of-00001.safetensors""#),
            "only plain names are followed",
        ),
        ("a shard elsewhere", map(r#""/etc/passwd""#), "only plain names are followed"),
        ("a shard below", map(r#""a/b.safetensors""#), "only plain names are followed"),
        (
            "a shard on another drive",
            map(r#""C:\\b.safetensors""#),
            "only plain names are followed",
        ),
        ("the folder itself", map(r#"".""#), "only plain names are followed"),
        ("no name", map(r#""""#), "only plain names are followed"),
        ("a shard that is not there", map(r#""other.safetensors""#), "other.safetensors"),
        ("a number", map("1"), "not an index of shards"),
        ("no map", "{}".into(), "not an index of shards"),
        (
            "a tensor that is not there",
            r#"{"weight_map":{"x":"model-00001-of-00001.safetensors"}}"#.into(),
            "x is said to be in",
        ),
        ("most of it missing", map(r#""model-00001-of-00001.safetensors""#), "is missing"),
    ] {
        expect(what, &shards(&index), expected);
    }

    let other = folder();
    fs::remove_file(other.path().join("model.safetensors")).unwrap();
    expect("no weights", &error(other.path()), "neither model.safetensors nor");
    fs::write(other.path().join("config.json"), [0xFF, 0xFE]).unwrap();
    expect("config of bytes", &error(other.path()), "not UTF-8");
    fs::remove_file(other.path().join("config.json")).unwrap();
    expect("no config", &error(other.path()), "no config.json in it");
    expect("nothing there", &error(other.path().join("nothing")), "no such file or folder");

    // One tensor too many: a bias, say.
    let more = folder();
    let path = more.path().join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(bytes[8..8 + length].to_vec()).unwrap();
    let data = bytes.len() - 8 - length;
    let bias = format!(
        r#","q_proj.bias":{{"dtype":"F32","shape":[1],"data_offsets":[{data},{}]}}}}"#,
        data + 4
    );
    let header = header.trim_end().strip_suffix('}').unwrap().to_owned() + &bias;
    fs::write(&path, safetensors(&header, data + 4)).unwrap();
    expect("a bias", &error(more.path()), "q_proj.bias is no tensor of this architecture");
}

#[test]
fn names_that_are_no_hub_ids_are_not_looked_up() {
    for name in
        ["nothing", "a/b/c", "../up", "/nothing/here", "owner/", "owner/model.gguf", "own er/name"]
    {
        expect(name, &error(name), "no such file or folder");
    }
}

/// Write `bytes`, changed at some places or cut off, and read the file.
fn survives(
    path: &PathBuf,
    source: &Path,
    mut bytes: Vec<u8>,
    changes: &[(prop::sample::Index, u8)],
    cut: Option<prop::sample::Index>,
) {
    // Most changes to the numbers of a tensor are harmless: half of them go to the front, where the structure is.
    for (i, (place, value)) in changes.iter().enumerate() {
        let range = if i % 2 == 0 { bytes.len().min(2048) } else { bytes.len() };
        bytes[place.index(range)] = *value;
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len()));
    }
    fs::write(path, bytes).unwrap();
    // Loads or fails: either is right. It must return.
    if let Err(error) = load::<f32>(source) {
        assert!(!error.to_string().is_empty());
    }
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    let value = prop_oneof![Just(0), Just(1), Just(0x7F), Just(0xFF), any::<u8>()];
    prop::collection::vec((any::<prop::sample::Index>(), value), 0..6)
}

proptest! {
    #[test]
    fn any_gguf_file_loads_or_fails(changes in changes(), cut in any::<Option<prop::sample::Index>>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        survives(&path, &path, tiny_gguf(), &changes, cut);
    }

    #[test]
    fn any_part_of_a_model_loads_or_fails(
        changes in changes(), cut in any::<Option<prop::sample::Index>>(), changed in 0..3_usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let name = |part: usize| format!("mix-0000{}-of-00003.gguf", part + 1);
        for part in 0..3 {
            fs::copy(golden.join(name(part)), folder.path().join(name(part))).unwrap();
        }
        let path = folder.path().join(name(changed));
        survives(&path, &folder.path().join(name(0)), fs::read(&path).unwrap(), &changes, cut);
    }

    #[test]
    fn any_safetensors_file_loads_or_fails(changes in changes(), cut in any::<Option<prop::sample::Index>>()) {
        let folder = folder();
        let path = folder.path().join("model.safetensors");
        let bytes = fs::read(&path).unwrap();
        survives(&path, folder.path(), bytes, &changes, cut);
    }

    #[test]
    fn any_configuration_loads_or_fails(changes in changes(), cut in any::<Option<prop::sample::Index>>()) {
        let folder = folder();
        let path = folder.path().join("config.json");
        let bytes = fs::read(&path).unwrap();
        survives(&path, folder.path(), bytes, &changes, cut);
    }
}
