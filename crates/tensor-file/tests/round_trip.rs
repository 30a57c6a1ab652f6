//! What is written is read back, is what the safetensors crate reads and writes, and takes its place on the disk whole.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::Path;

use ndarray::{Array2, ArrayD, ShapeBuilder, arr0, array};
use proptest::prelude::*;
use safetensors::SafeTensors;
use tensor_file::{Dtype, Error, LayoutError, Staging, StorageDtype, Stored, TensorFile, to_bytes};

fn metadata<const N: usize>(entries: [(&str, &str); N]) -> BTreeMap<String, String> {
    entries.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn arrays() -> impl Strategy<Value = BTreeMap<String, (ArrayD<f64>, StorageDtype)>> {
    let shape = prop::collection::vec(0..4usize, 0..4);
    let array = (shape, any::<u64>()).prop_map(|(shape, seed)| {
        let mut state = seed;
        ArrayD::from_shape_simple_fn(shape, || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 11) as f64 / 1e15 - 4.5
        })
    });
    let dtype = prop::sample::select(StorageDtype::ALL.to_vec());
    prop::collection::btree_map("[a-c.é\"]{0,3}", (array, dtype), 0..6)
}

fn stored<'a>(
    arrays: &'a BTreeMap<String, (ArrayD<f64>, StorageDtype)>,
) -> impl Iterator<Item = (String, Stored<'a, f64>)> {
    arrays.iter().map(|(name, (array, dtype))| (name.clone(), Stored::new(array.view(), *dtype)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    #[test]
    fn what_is_written_is_read_back(arrays in arrays()) {
        let noted = metadata([("format", "pt")]);
        let bytes = to_bytes(stored(&arrays), &noted).unwrap();
        let mut backwards: Vec<_> = stored(&arrays).collect();
        backwards.reverse();
        prop_assert_eq!(&to_bytes(backwards, &noted).unwrap(), &bytes);
        let theirs = safetensors::serialize(stored(&arrays), Some(noted.clone().into_iter().collect()));
        prop_assert_eq!(&theirs.unwrap(), &bytes);

        let mut file = TensorFile::from_bytes("bytes", &bytes).unwrap();
        prop_assert_eq!(file.metadata(), &noted);
        prop_assert_eq!(file.names().len(), arrays.len());
        for (name, (array, dtype)) in &arrays {
            prop_assert_eq!(file.storage_dtype(name).unwrap(), *dtype);
            prop_assert_eq!(&file.info(name).unwrap().shape, array.shape());
            let want = array.mapv(|value| dtype.round(value));
            prop_assert_eq!(&file.array::<f64>(name).unwrap(), &want);
            prop_assert_eq!(file.array::<f32>(name).unwrap(), want.mapv(|value| value as f32));
            prop_assert_eq!(file.bytes(name).unwrap(), dtype.encode(array.iter().copied()));
        }
    }
}

/// More numbers than are read at once.
#[test]
fn a_large_tensor_comes_in_pieces() {
    let large = Array2::from_shape_fn((301, 173), |(i, j)| (i * 173 + j) as f32);
    for dtype in [StorageDtype::F64, StorageDtype::F32] {
        let bytes = to_bytes([("large", Stored::new(large.view(), dtype))], &metadata([])).unwrap();
        let mut file = TensorFile::from_bytes("bytes", &bytes).unwrap();
        assert_eq!(file.array::<f32>("large").unwrap(), large.clone().into_dyn());
    }
}

#[test]
fn an_array_in_another_order_is_written_row_by_row() {
    let columns =
        Array2::from_shape_vec((2, 3).f(), vec![1.0_f64, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let scalar = arr0(7.0_f64);
    let tensors = [
        ("columns", Stored::new(columns.view().into_dyn(), StorageDtype::F64)),
        ("scalar", Stored::new(scalar.view().into_dyn(), StorageDtype::F64)),
    ];
    let bytes = to_bytes(tensors, &metadata([])).unwrap();
    let mut file = TensorFile::from_bytes("bytes", &bytes).unwrap();
    assert_eq!(file.numbers::<f64>("columns").unwrap(), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
    assert_eq!(file.array::<f64>("scalar").unwrap(), scalar.into_dyn());
}

/// The library's writer keeps the metadata in a hash map, whose order is another one each time.
#[test]
fn many_metadata_keys_give_the_same_bytes() {
    let x = array![1.0_f32];
    let many = metadata([("b", "2"), ("a", "1"), ("d", "\"4\n"), ("c", "3")]);
    let write = || to_bytes([("x", Stored::new(x.view(), StorageDtype::F32))], &many).unwrap();
    let bytes = write();
    assert!((0..20).all(|_| write() == bytes));
    let header = r#"{"__metadata__":{"a":"1","b":"2","c":"3","d":"\"4\n"},"x":{"dtype":"F32","#;
    assert_eq!(std::str::from_utf8(&bytes[8..8 + header.len()]).unwrap(), header);
    let (_, theirs) = SafeTensors::read_metadata(&bytes).unwrap();
    let theirs: HashMap<_, _> = theirs.metadata().clone().unwrap();
    assert_eq!(theirs.into_iter().collect::<BTreeMap<_, _>>(), many);
    // Nothing at all is a file too; the library writes broken JSON for an empty map and no tensor.
    let nothing = to_bytes::<Stored<'_, f32>>(Vec::<(String, _)>::new(), &metadata([])).unwrap();
    assert!(TensorFile::from_bytes("nothing", &nothing).unwrap().names().is_empty());
}

/// A header at the limit of 100 MB, all of it there: read, and refused at the end.
#[test]
fn a_header_of_100_megabytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.safetensors");
    let mut long = fs::File::create(&path).unwrap();
    long.write_all(&100_000_000_u64.to_le_bytes()).unwrap();
    long.write_all(b"{\"__metadata__\":{\"case\":\"").unwrap();
    // The file system makes the zero bytes up: none of them is written.
    long.set_len(100_000_008).unwrap();
    drop(long);
    let error = TensorFile::open(&path).unwrap_err();
    assert!(error.to_string().ends_with("long.safetensors: a wrong safetensors header"), "{error}");

    let name = "a".repeat(100_000_000);
    let x = arr0(1.0_f32);
    let error = to_bytes([(name, Stored::new(x.view(), StorageDtype::F32))], &metadata([]));
    assert!(matches!(error, Err(LayoutError::TooLong)));
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn files_take_their_places_together() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("deep/folder");
    let x = array![1.0_f32, 2.0];
    let write = |text: &str| {
        let mut staging = Staging::new(&folder).unwrap();
        let tensors = [("x", Stored::new(x.view(), StorageDtype::F16))];
        staging.write_tensors("x.safetensors", tensors, &metadata([])).unwrap();
        staging.write("config.json", text.as_bytes()).unwrap();
        staging
    };
    // Not committed: as if it had not been.
    drop(write("never"));
    assert!(!folder.exists() && files(folder.parent().unwrap()).is_empty());
    write("first").commit().unwrap();
    assert_eq!(files(&folder), ["config.json", "x.safetensors"]);
    assert_eq!(files(folder.parent().unwrap()), ["folder"]);

    fs::write(folder.join("notes.txt"), "mine").unwrap();
    let second = write("second");
    assert_eq!(fs::read_to_string(folder.join("config.json")).unwrap(), "first");
    second.commit().unwrap();
    assert_eq!(fs::read_to_string(folder.join("config.json")).unwrap(), "second");
    assert_eq!(files(&folder), ["config.json", "notes.txt", "x.safetensors"]);
    drop(write("never"));
    assert_eq!(fs::read_to_string(folder.join("config.json")).unwrap(), "second");
    assert_eq!(files(&folder), ["config.json", "notes.txt", "x.safetensors"]);

    let mut file = TensorFile::open(&folder.join("x.safetensors")).unwrap();
    assert_eq!(file.info("x").unwrap().dtype, Dtype::F16);
    assert_eq!(file.array::<f32>("x").unwrap(), x.clone().into_dyn());
}

/// The second file cannot be made: the first one does not take its place either.
#[test]
fn all_files_or_none() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("first"), "old").unwrap();
    for folder in [root.path().to_owned(), root.path().join("fresh")] {
        let mut staging = Staging::new(&folder).unwrap();
        staging.write("first", b"new").unwrap();
        let error = staging.write("first/second", b"new").unwrap_err();
        assert!(error.to_string().ends_with("first/second"), "{error}");
        assert!(matches!(error, Error::Write { .. }));
    }
    assert_eq!(fs::read_to_string(root.path().join("first")).unwrap(), "old");
    assert_eq!(files(root.path()), ["first"]);

    // A folder in front of a name is made, in a new place and in one that is there.
    for folder in [root.path().join("fresh"), root.path().join("fresh")] {
        let mut staging = Staging::new(&folder).unwrap();
        staging.write("below/file", b"text").unwrap();
        staging.commit().unwrap();
        assert_eq!(fs::read_to_string(folder.join("below/file")).unwrap(), "text");
    }
    fs::remove_dir_all(root.path().join("fresh")).unwrap();

    // A place that cannot be written to, and a file that cannot be replaced.
    let file = root.path().join("first");
    assert!(Staging::new(&file.join("below")).is_err());
    assert!(Staging::new(&file).unwrap().commit().is_err());
    fs::create_dir(root.path().join("folder")).unwrap();
    let mut staging = Staging::new(root.path()).unwrap();
    staging.write("folder", b"new").unwrap();
    staging.write("first", b"new").unwrap();
    assert!(staging.commit().unwrap_err().to_string().ends_with("folder"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    assert_eq!(files(root.path()), ["first", "folder"]);
}

/// Like any other new file: readable by whom the umask allows. A temporary file is its owner's alone.
#[cfg(unix)]
#[test]
fn permissions_are_those_of_new_files() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("plain"), "").unwrap();
    fs::create_dir(root.path().join("plain folder")).unwrap();
    let folder = root.path().join("folder");
    let mut staging = Staging::new(&folder).unwrap();
    staging.write("file", b"").unwrap();
    staging.commit().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&folder.join("file")), mode(&root.path().join("plain")));
    assert_eq!(mode(&folder), mode(&root.path().join("plain folder")));
}
