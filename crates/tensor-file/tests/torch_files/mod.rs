//! Files that torch.save wrote: their tensors, or what they ask for and do not get.

use std::path::PathBuf;

use proptest::prelude::*;
use tensor_file::{Dtype, TensorFile};

use crate::{assert_says, one_line};

fn path(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/torch_files");
    PathBuf::from(format!("{folder}/{name}.bin"))
}

/// −1/2, −1/4, 0 …
fn numbers(range: std::ops::Range<usize>) -> Vec<f64> {
    range.map(|i| (i as f64 - 2.0) / 4.0).collect()
}

#[test]
fn tensors_of_every_type_are_read() {
    let mut file = TensorFile::open_torch(&path("plain")).unwrap();
    let cases: [(&str, &[usize], Vec<f64>); 8] = [
        ("f64", &[2, 3], numbers(0..6)),
        ("f32", &[2, 3], numbers(0..6)),
        ("f16", &[3], numbers(0..3)),
        ("bf16", &[1, 3], numbers(0..3)),
        ("scalar", &[], numbers(0..1)),
        ("none", &[0, 3], vec![]),
        // Two rows out of a larger matrix, whose numbers are all in the file.
        ("rows", &[2, 3], numbers(3..9)),
        ("large_index", &[40], numbers(260..300)),
    ];
    assert_eq!(file.names().len(), cases.len() + 1);
    for (name, shape, want) in cases {
        let array = file.array::<f64>(name).unwrap();
        assert_eq!((array.shape(), array.iter().copied().collect()), (shape, want), "{name}");
    }
    assert_eq!(file.info("i64").unwrap().dtype, Dtype::I64);
    let bytes = [0_i64, 1, 2].map(i64::to_le_bytes).concat();
    assert_eq!(file.bytes("i64").unwrap(), bytes);

    let mut file = TensorFile::open_torch(&path("state_dict")).unwrap();
    let weight = file.array::<f32>("weight").unwrap();
    assert_eq!((weight.shape(), weight[[2, 1]]), (&[3, 2][..], 0.75));
    assert_eq!(file.array::<f32>("bias").unwrap().len(), 3);
    assert!(file.metadata().is_empty());
}

#[test]
fn what_is_more_than_tensors_is_named() {
    for (name, expected) in [
        ("call", "call.bin: it calls posix.system, which tensors do not need"),
        ("number", "number.bin: step is not a tensor"),
        ("list", "it uses the pickle instruction 0x5d"),
        ("complex", "it stores numbers as torch.ComplexFloatStorage: not supported"),
        ("transposed", r#""a" does not lie row by row: save it with .contiguous()"#),
        ("shared", r#""a" and "b" share numbers: save them with .clone()"#),
        ("protocol", "pickle protocol 4, where torch has 2"),
        ("compressed", "is compressed, which torch.save does not do"),
        ("old", "no zip archive as torch.save writes it since 1.6"),
    ] {
        assert_says(&TensorFile::open_torch(&path(name)).unwrap_err(), expected);
    }
}

/// The bytes of a file with one of its parts replaced by another as long.
fn with(name: &str, old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut bytes = std::fs::read(path(name)).unwrap();
    let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
    bytes[at..at + old.len()].copy_from_slice(new);
    bytes
}

fn refusal(bytes: &[u8]) -> String {
    let cursor = std::io::Cursor::new(bytes);
    one_line(&TensorFile::from_torch("changed", cursor).unwrap_err())
}

#[test]
fn lies_about_sizes_are_named() {
    // The shape of "weight" is K 3 K 2 TUPLE2.
    let grown = with("state_dict", b"K\x03K\x02\x86", b"K\xffK\x02\x86");
    assert_eq!(refusal(&grown), r#"changed: "weight" has more numbers than its storage"#);
    let strided = with("state_dict", b"K\x02K\x01\x86", b"K\x00K\x00\x86");
    assert!(refusal(&strided).contains(r#""weight" does not lie row by row"#));
    let elsewhere = with("state_dict", b"X\x01\0\0\x000", b"X\x01\0\0\x009");
    assert!(refusal(&elsewhere).contains(r#"the numbers of "weight" are missing"#));
    let big = with("state_dict", b"little", b"bigbig");
    assert!(refusal(&big).contains("big-endian"));
    let twice = with("plain", b"X\x03\0\0\0f64", b"X\x03\0\0\0f32");
    assert!(refusal(&twice).contains("f32 is there twice"));
    assert!(refusal(b"PK\x03\x04").contains("no zip archive"));
    assert!(refusal(b"").contains("no zip archive"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    /// Whatever bytes are changed: an answer, never a panic, and no more numbers than the file has.
    #[test]
    fn any_file_is_read_or_refused(
        name in prop::sample::select(vec!["plain", "state_dict", "call"]),
        in_pickle in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let mut bytes = std::fs::read(path(name)).unwrap();
        // The pickle is the first record of the archive.
        let length = if in_pickle { 400 } else { bytes.len() };
        for (place, value) in changes {
            bytes[place.index(length)] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        match TensorFile::from_torch("changed", std::io::Cursor::new(&bytes)) {
            Err(error) => assert_says(&error, "changed: "),
            Ok(mut file) => {
                let mut whole = 0;
                for name in file.names() {
                    whole += file.bytes(&name).unwrap().len();
                    let _ = file.array::<f32>(&name);
                }
                prop_assert!(whole <= bytes.len());
            }
        }
    }

    /// Any program at all.
    #[test]
    fn any_pickle_is_read_or_refused(program in prop::collection::vec(instruction(), 0..40)) {
        let program = program.concat();
        let mut bytes = std::fs::read(path("state_dict")).unwrap();
        let start = bytes.windows(2).position(|window| window == b"\x80\x02").unwrap() + 2;
        let end = (start + program.len()).min(start + 280);
        bytes[start..end].copy_from_slice(&program[..end - start]);
        let _ = TensorFile::from_torch("made", std::io::Cursor::new(&bytes));
    }
}

/// One instruction that the machine knows, whether it makes sense or not.
fn instruction() -> impl Strategy<Value = Vec<u8>> {
    let plain = b"})N\x88\x89(t\x85\x86\x87QRsub.".iter().map(|opcode| vec![*opcode]);
    let known = [
        &b"K\x02"[..],
        b"M\xff\xff",
        b"J\xff\xff\xff\xff",
        b"\x8a\x01\xff",
        b"X\x01\0\0\x000",
        b"X\x07\0\0\0storage",
        b"ctorch\nFloatStorage\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ccollections\nOrderedDict\n",
        b"q\0",
        b"h\0",
    ];
    prop::sample::select(plain.chain(known.map(<[u8]>::to_vec)).collect::<Vec<_>>())
}
