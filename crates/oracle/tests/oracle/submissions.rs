//! A folder of submissions that somebody made by accident or to do harm: one error for each file, and the others are judged.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oracle::{Options, Tally, TensorFile, Verdict, check_all, junit};

use crate::common::{emitted, in_f32, layer};

/// Three cases, and a right answer for each.
struct Folders {
    root: tempfile::TempDir,
}

const NAMES: [&str; 3] = ["a", "b", "c"];

impl Folders {
    fn new() -> Self {
        let folders = Self { root: tempfile::tempdir().unwrap() };
        for name in NAMES {
            let mut case = layer("lora", "forward", "");
            let text = case.metadata["case"].replace("forward/x", &format!("forward/{name}"));
            case.metadata.insert("case".into(), text);
            let case = emitted(&case);
            write(&folders.case(name), &case.to_bytes().unwrap());
            write(&folders.mine(name), &in_f32(&case).to_bytes().unwrap());
        }
        folders
    }

    fn case(&self, name: &str) -> PathBuf {
        self.root.path().join(format!("cases/lora/forward/{name}.safetensors"))
    }

    fn mine(&self, name: &str) -> PathBuf {
        self.root.path().join(format!("mine/lora/forward/{name}.safetensors"))
    }

    fn judged(&self) -> Tally {
        let [cases, mine] = ["cases", "mine"].map(|name| self.root.path().join(name));
        check_all(&[cases], &mine, (&[], &[]), Options::default()).unwrap()
    }

    /// One error that has all of these words, exit code 2, and the other two cases pass.
    fn one_error(&self, words: &[&str]) {
        let tally = self.judged();
        let [error] = &tally.errors[..] else { panic!("{:?}", tally.errors) };
        let error = error.to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert!(!error.contains('\n'), "{error}");
        assert_eq!((tally.exit_code(1), tally.count(Verdict::Pass)), (2, 2), "{error}");
        // The same in a report for programs: a test case of its own.
        let xml = junit(&tally);
        assert!(xml.contains("tests=\"3\" failures=\"0\" errors=\"1\""), "{xml}");
        assert!(xml.matches("<error message=").count() == 1 && xml.contains(words[0]), "{xml}");
    }
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn right_answers_pass() {
    let tally = Folders::new().judged();
    assert_eq!((tally.exit_code(3), tally.count(Verdict::Pass)), (0, 3));
    assert_eq!(tally.diagnosis.to_string(), "PASS: all 3 cases");
}

/// None of them is opened, or even listed.
#[test]
fn many_files_that_no_case_asks_for() {
    let folders = Folders::new();
    for number in 0..5000 {
        write(&folders.root.path().join(format!("mine/lora/forward/x{number}.safetensors")), b"no");
    }
    let start = Instant::now();
    assert_eq!(folders.judged().exit_code(3), 0);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

/// Ten gigabytes that the file system makes up: refused by their size, none of them is read.
#[test]
fn a_file_of_ten_gigabytes() {
    let folders = Folders::new();
    let bytes = fs::read(folders.mine("b")).unwrap();
    let file = File::create(folders.mine("b")).unwrap();
    file.set_len(10_000_000_000).unwrap();
    drop(file);
    let start = Instant::now();
    folders.one_error(&["b.safetensors", "10000000000 bytes", "at most"]);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    // A header that promises as much, in a small file.
    let header =
        br#"{"out.y":{"dtype":"F64","shape":[1250000000],"data_offsets":[0,10000000000]}}"#;
    let long = [&(header.len() as u64).to_le_bytes()[..], header, &bytes].concat();
    fs::write(folders.mine("b"), long).unwrap();
    folders.one_error(&["b.safetensors", "10000000000 bytes", "the file has"]);
}

/// A link out of the folder would have another file judged, and a part of it printed.
#[cfg(unix)]
#[test]
fn links() {
    use std::os::unix::fs::symlink;
    let folders = Folders::new();
    let elsewhere = folders.root.path().join("elsewhere.safetensors");
    fs::rename(folders.mine("b"), &elsewhere).unwrap();
    symlink(&elsewhere, folders.mine("b")).unwrap();
    folders.one_error(&["b.safetensors", "elsewhere", "outside the submission"]);
    // One that leads nowhere, and one that leads to itself.
    fs::remove_file(&elsewhere).unwrap();
    folders.one_error(&["b.safetensors"]);
    fs::remove_file(folders.mine("b")).unwrap();
    symlink(folders.mine("b"), folders.mine("b")).unwrap();
    folders.one_error(&["b.safetensors"]);
    // Within the folder a link is as good as a file.
    fs::remove_file(folders.mine("b")).unwrap();
    symlink(folders.mine("a"), folders.mine("b")).unwrap();
    assert_eq!(folders.judged().exit_code(3), 0);
    // The whole folder of an op, linked from elsewhere.
    let op = folders.root.path().join("mine/lora/forward");
    let moved = folders.root.path().join("moved");
    fs::rename(&op, &moved).unwrap();
    symlink(&moved, &op).unwrap();
    let tally = folders.judged();
    assert_eq!((tally.exit_code(1), tally.errors.len()), (2, 3));
}

/// A pipe would be waited for without end.
#[cfg(unix)]
#[test]
fn what_is_no_file() {
    let folders = Folders::new();
    fs::remove_file(folders.mine("b")).unwrap();
    fs::create_dir(folders.mine("b")).unwrap();
    folders.one_error(&["b.safetensors", "no regular file"]);
    fs::remove_dir(folders.mine("b")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(folders.mine("b")).status();
    if made.is_ok_and(|status| status.success()) {
        folders.one_error(&["b.safetensors", "no regular file"]);
    }
}

#[test]
fn two_tensors_of_one_name() {
    let folders = Folders::new();
    let header = br#"{"out.y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"out.y":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 8]].concat();
    fs::write(folders.mine("b"), bytes).unwrap();
    folders.one_error(&["b.safetensors", "out.y is there twice"]);
}

#[test]
fn a_case_of_a_newer_schema() {
    let folders = Folders::new();
    let mut case = TensorFile::read(&folders.case("b")).unwrap();
    let newer = case.metadata["case"].replace("lowrank-case/1", "lowrank-case/2");
    case.metadata.insert("case".into(), newer);
    fs::write(folders.case("b"), case.to_bytes().unwrap()).unwrap();
    folders.one_error(&["b.safetensors", "lowrank-case/2", "lowrank-case/1"]);
    // One with a key that is not known yet: the schema is what is wrong with it.
    let newer = case.metadata["case"].replace("\"method\"", "\"device\":\"gpu\",\"method\"");
    case.metadata.insert("case".into(), newer);
    fs::write(folders.case("b"), case.to_bytes().unwrap()).unwrap();
    folders.one_error(&["b.safetensors", "lowrank-case/2", "lowrank-case/1"]);
}
