//! Files that lie, are cut off or were changed: one error that says what is wrong, never a panic, and never an
//! allocation that the file's size does not justify.

mod torch_files;

use std::alloc::System;
use std::error::Error as _;
use std::fs;

use cap::Cap;
use proptest::prelude::*;
use tensor_file::{Dtype, Error, LayoutError, StorageDtype, Stored, TensorFile, View, to_bytes};

/// All files here are below 64 KiB. Above this limit an allocation fails and takes the test process with it.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, 64 << 20);

#[test]
fn the_limit_is_in_force() {
    assert!(Vec::<u8>::new().try_reserve_exact(65 << 20).is_err());
}

/// A header in front of so many zeros.
fn safetensors(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
}

fn entry(shape: &str, from: u64, to: u64) -> String {
    format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}"#)
}

fn one(entry: &str) -> String {
    format!(r#"{{"a":{entry}}}"#)
}

fn two(a: &str, b: &str) -> String {
    format!(r#"{{"a":{a},"b":{b}}}"#)
}

/// The message and those of its causes, as a program prints them.
fn one_line(error: &dyn std::error::Error) -> String {
    let (mut line, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

#[track_caller]
fn assert_says(error: &Error, expected: &str) {
    let line = one_line(error);
    assert!(line.contains(expected), "{line:?} does not say {expected:?}");
    assert!(!line.contains('\n'), "more than one line: {line:?}");
    // The cause is told once: an error that names its own cause would double it.
    if let Some(cause) = error.source().map(ToString::to_string) {
        assert_eq!(line.matches(&cause).count(), 1, "{line}");
    }
}

/// Files that no user should be handed: what is wrong, the bytes, what the error says.
fn lies() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let u64_of = |number: u64, rest: &[u8]| [&number.to_le_bytes()[..], rest].concat();
    vec![
        ("empty", vec![], "0 bytes are no safetensors file: it is cut off"),
        ("seven bytes", vec![0; 7], "7 bytes are no safetensors file"),
        (
            "a huge header",
            u64_of(u64::MAX, &[0; 100]),
            "claims 18446744073709551615 bytes and the file has 108: above the limit of 100000000",
        ),
        ("a header of 101 MB", u64_of(101_000_000, &[0; 100]), "above the limit"),
        ("a header at the limit", u64_of(100_000_000, &[0; 100]), "cut off"),
        ("a header longer than the file", u64_of(99, b"{}"), "claims 99 bytes and the file has 10"),
        ("no header", u64_of(0, b""), "a wrong safetensors header: EOF"),
        ("no JSON", safetensors("hello", 0), "a wrong safetensors header: expected value"),
        ("half of a JSON", safetensors("{", 0), "a wrong safetensors header: EOF"),
        ("JSON and more", safetensors("{}{}", 0), "trailing characters"),
        ("an array", safetensors("[]", 0), "expected an object of tensors by name"),
        ("not UTF-8", u64_of(6, b"{\"\xFF\":1"), "a wrong safetensors header"),
        ("deep", safetensors(&"[".repeat(30_000), 0), "a wrong safetensors header"),
        ("a deep entry", safetensors(&format!("{{\"a\":{}", "[".repeat(30_000)), 0), "header"),
        (
            "bytes that nobody owns",
            safetensors("{}", 1),
            "describes 0 bytes of tensors and the file has 1",
        ),
        (
            "cut off by a byte",
            safetensors(&one(&entry("[6,4]", 0, 96)), 95),
            "has 95: it is cut off",
        ),
        ("one byte more", safetensors(&one(&entry("[6,4]", 0, 96)), 97), "the file has 97"),
        (
            "overlapping",
            safetensors(&two(&entry("[6,4]", 0, 96), &entry("[6,4]", 48, 144)), 144),
            "tensor b: invalid offset",
        ),
        (
            "two in one place",
            safetensors(&two(&entry("[6,4]", 0, 96), &entry("[6,4]", 0, 96)), 96),
            "invalid offset",
        ),
        (
            "a gap",
            safetensors(&two(&entry("[6,4]", 0, 96), &entry("[1]", 100, 104)), 104),
            "tensor b: invalid offset",
        ),
        (
            "a gap at the front",
            safetensors(&one(&entry("[1]", 4, 8)), 8),
            "tensor a: invalid offset",
        ),
        ("backwards", safetensors(&one(&entry("[6,4]", 96, 0)), 96), "invalid offset"),
        (
            "offsets at the end of numbers",
            safetensors(&one(&entry("[1]", u64::MAX - 3, u64::MAX)), 4),
            "invalid offset",
        ),
        (
            "too short for its shape",
            safetensors(&two(&entry("[1]", 0, 4), &entry("[6,4]", 4, 96)), 96),
            "tensor b: invalid shape",
        ),
        (
            "too long for its shape",
            safetensors(&one(&entry("[6,4]", 0, 100)), 100),
            "invalid shape",
        ),
        (
            "a huge tensor",
            safetensors(&one(&entry("[1099511627776]", 0, 4_398_046_511_104)), 96),
            "cut off",
        ),
        (
            "a shape that overflows",
            safetensors(&two(&entry("[0]", 0, 0), &entry("[4611686018427387904,8]", 0, 0)), 0),
            "tensor b: overflow",
        ),
        (
            "a shape that overflows in bytes",
            safetensors(&one(&entry("[9223372036854775808]", 0, 8)), 8),
            "overflow",
        ),
        (
            "a negative axis",
            safetensors(&one(&entry("[-1]", 0, 8)), 8),
            "a wrong safetensors header",
        ),
        ("an axis of 2⁶⁴", safetensors(&one(&entry("[18446744073709551616]", 0, 8)), 8), "header"),
        ("half an axis", safetensors(&one(&entry("[0.5]", 0, 8)), 8), "a wrong safetensors header"),
        (
            "a negative offset",
            safetensors(&one(r#"{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}"#), 4),
            "header",
        ),
        (
            "a type there is not",
            safetensors(&one(&entry("[1]", 0, 4).replace("F32", "F31")), 4),
            "unknown variant `F31`",
        ),
        (
            "half a byte",
            safetensors(&one(&entry("[1]", 0, 0).replace("F32", "F4")), 0),
            "byte boundary",
        ),
        (
            "no type",
            safetensors(r#"{"a":{"shape":[1],"data_offsets":[0,4]}}"#, 4),
            "missing field `dtype`",
        ),
        ("no entry", safetensors(r#"{"a":7}"#, 0), "a wrong safetensors header"),
        (
            "a name twice",
            safetensors(&format!(r#"{{"a":{0},"a":{0}}}"#, entry("[1]", 0, 4)), 4),
            "a is there twice",
        ),
        (
            "a name twice, of tensors one after the other",
            safetensors(
                &format!(r#"{{"a":{},"a":{}}}"#, entry("[1]", 0, 4), entry("[1]", 4, 8)),
                8,
            ),
            "a is there twice",
        ),
        (
            "a name with a zero byte",
            safetensors(&format!(r#"{{"a\u0000b":{}}}"#, entry("[1]", 0, 4)), 4),
            r#"a tensor cannot be called "a\0b""#,
        ),
        (
            "metadata twice",
            safetensors(r#"{"__metadata__":{},"__metadata__":{}}"#, 0),
            "duplicate field",
        ),
        (
            "metadata of numbers",
            safetensors(r#"{"__metadata__":{"step":7}}"#, 0),
            "expected a string",
        ),
        ("metadata that is a text", safetensors(r#"{"__metadata__":"case"}"#, 0), "expected a map"),
    ]
}

#[test]
fn files_that_lie() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    for (what, bytes, expected) in lies() {
        println!("{what}");
        let error = TensorFile::from_bytes("some bytes", &bytes).unwrap_err();
        assert_says(&error, "some bytes: ");
        assert_says(&error, expected);
        fs::write(&path, bytes).unwrap();
        let error = TensorFile::open(&path).unwrap_err();
        assert_says(&error, "a.safetensors: ");
        assert_says(&error, expected);
    }
    let error = TensorFile::open(&folder.path().join("nothing")).unwrap_err();
    assert_says(&error, "nothing: No such file");
    assert_says(&TensorFile::open(folder.path()).unwrap_err(), "cannot read");
}

#[test]
fn what_is_there_no_less_and_no_more() {
    let header = format!(
        r#"{{"a":{},"i":{},"e":{},"w":{}}}"#,
        entry("[2]", 0, 8),
        entry("[1]", 8, 12).replace("F32", "I32"),
        entry("[9223372036854775808,0]", 12, 12),
        entry("[2,4611686018427387904,0]", 12, 12),
    );
    let bytes = safetensors(&header, 12);
    let mut file = TensorFile::from_bytes("some bytes", &bytes).unwrap();
    assert_eq!(file.names(), ["a", "i", "e", "w"]);
    assert!(file.contains("a") && !file.contains("b"));
    assert_says(&file.array::<f32>("b").unwrap_err(), "some bytes: b is missing");
    assert_says(&file.bytes("b").unwrap_err(), "some bytes: b is missing");
    let error = file.array::<f64>("i").unwrap_err();
    assert_says(&error, "some bytes: i is I32: one of F64, F32, F16 and BF16 is needed");
    assert_eq!(file.bytes("i").unwrap(), [0; 4]);
    let error = file.check_dtype("a", StorageDtype::F64).unwrap_err();
    assert_says(&error, "some bytes: a is F32: F64 is needed");
    file.check_dtype("i", Dtype::I32).unwrap();
    // No numbers, but an axis that no array can have.
    assert!(file.numbers::<f32>("e").unwrap().is_empty());
    assert_says(&file.array::<f32>("e").unwrap_err(), "e has shape [9223372036854775808, 0]: ");
    assert_says(&file.array::<f32>("w").unwrap_err(), "w has shape [2, 4611686018427387904, 0]: ");
    // null is what other writers may put where there is nothing.
    let none = safetensors(r#"{"__metadata__":null}  "#, 0);
    assert!(TensorFile::from_bytes("none", &none).unwrap().metadata().is_empty());
}

/// The numbers take two thirds of what may be allocated here, so they are not in memory twice.
#[test]
fn a_large_tensor_is_in_memory_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.safetensors");
    let bytes = 42 << 20;
    fs::write(&path, safetensors(&one(&entry(&format!("[{}]", bytes / 4), 0, bytes)), 0)).unwrap();
    // The file system makes the zero bytes up: none of them is written.
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() + bytes).unwrap();
    let mut file = TensorFile::open(&path).unwrap();
    assert_eq!(file.array::<f32>("a").unwrap().len() as u64, bytes / 4);
}

/// Bytes that say of themselves what they like.
struct Raw {
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl View for &Raw {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        (&self.data).into()
    }
    fn data_len(&self) -> usize {
        self.data.len()
    }
}

#[test]
fn what_could_not_be_read_is_not_written() {
    let fine = Raw { shape: vec![1], data: vec![0; 4] };
    let short = Raw { shape: vec![2], data: vec![0; 4] };
    let says = |tensors: &[(&str, &Raw)], expected: &str| {
        let error: LayoutError =
            to_bytes(tensors.iter().copied(), &Default::default()).unwrap_err();
        let line = one_line(&error);
        assert!(line.contains(expected), "{line}");
    };
    says(&[("a", &fine), ("b", &fine), ("a", &fine)], "a is there twice");
    says(&[("__metadata__", &fine)], r#"cannot be called "__metadata__""#);
    says(&[("a\0", &fine)], "cannot be called");
    says(&[("a", &fine), ("b", &short)], "tensor b: invalid shape");
}

fn example() -> Vec<u8> {
    let [a, b] = [[6, 4], [2, 3]].map(|shape| ndarray::Array::from_elem(shape, 0.5_f64));
    let tensors = [
        ("layers.0.a", Stored::new(a.view(), StorageDtype::F32)),
        ("layers.0.b", Stored::new(b.view(), StorageDtype::Bf16)),
    ];
    to_bytes(tensors, &[("format".to_owned(), "pt".to_owned())].into()).unwrap()
}

/// Every length that a copy may break off at.
#[test]
fn a_file_cut_anywhere() {
    let whole = example();
    for length in 0..whole.len() {
        let error = TensorFile::from_bytes("cut", &whole[..length]).unwrap_err();
        assert_says(&error, "cut: ");
    }
    TensorFile::from_bytes("whole", &whole).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    /// Whatever bytes are changed: an answer, never a panic.
    #[test]
    fn any_file_is_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let mut bytes = example();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        match TensorFile::from_bytes("changed", &bytes) {
            Err(error) => assert_says(&error, "changed: "),
            Ok(mut file) => for name in file.names() {
                let length = file.bytes(&name).unwrap().len();
                prop_assert!(length <= bytes.len());
                let _ = file.array::<f32>(&name);
            },
        }
    }
}
