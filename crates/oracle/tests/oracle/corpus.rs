//! What fuzzing kept, replayed: no file of it may panic, hang or break a promise again. `fuzz/README.md` says how to make more.

#[path = "../../fuzz/src/targets.rs"]
mod targets;

use oracle::TensorFile;
use std::fs;
use std::path::PathBuf;

/// The files of a corpus, by name.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 20, "{folder:?} has {} files", files.len());
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Says which file it was, if one panics.
struct During(PathBuf);

impl Drop for During {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("while {} was replayed", self.0.display());
        }
    }
}

#[test]
fn cases() {
    for (path, bytes) in corpus("case") {
        let _during = During(path.clone());
        targets::case(&bytes);
        // From disk and from memory: the same.
        let [read, parsed] = [TensorFile::read(&path), TensorFile::parse(&bytes)].map(Result::ok);
        assert_eq!(read, parsed);
    }
}

#[test]
fn submissions() {
    for (path, bytes) in corpus("submission") {
        let _during = During(path);
        targets::submission(&bytes);
    }
}
