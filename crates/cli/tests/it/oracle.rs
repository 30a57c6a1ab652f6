//! The oracle's verbs as an implementer meets them: what they print, and the exit codes of the contract.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn lowrank(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lowrank")).args(arguments).output().unwrap()
}

fn vectors() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    folder.to_str().unwrap().to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A submission of our own for some cases: what `emit` writes, under the cases' ids.
fn submit(folder: &Path, ids: &[&str]) {
    for id in ids {
        let case = format!("{}/{id}.safetensors", vectors());
        let answer = folder.join(format!("{id}.safetensors"));
        std::fs::create_dir_all(answer.parent().unwrap()).unwrap();
        let output = lowrank(&["emit", &case, "-o", answer.to_str().unwrap()]);
        assert!(output.status.success(), "{id}: {}", text(&output.stderr));
    }
}

/// The first case of each method's backward pass that has answers.
fn backward_cases() -> Vec<String> {
    let output = lowrank(&["list", "--cases", &vectors(), "--op", "backward", "--format", "json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let cases = text(&output.stdout);
    let cases = cases.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let cases: Vec<Value> = cases.filter(|case| case["class"] == "bounded").collect();
    let methods = ["lora", "lora-fa", "vera", "delta-lora", "lora-plus"];
    let first = methods.map(|method| cases.iter().find(|case| case["method"] == method).unwrap());
    first.iter().map(|case| case["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_honest_submission_passes_and_a_wrong_one_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().to_str().unwrap();
    let ids = backward_cases();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    submit(directory.path(), &ids);
    let files = ids.iter().map(|id| format!("{}/{id}.safetensors", vectors()));
    let files: Vec<String> = files.collect();
    let check = |more: &[&str]| {
        let mut arguments = vec!["check", "--submission", folder];
        arguments.extend(files.iter().map(String::as_str));
        arguments.extend(more);
        lowrank(&arguments)
    };
    let output = check(&["--min-cases", "5"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(check(&["--min-cases", "6"]).status.code(), Some(3));

    // Another case's answers under the first one's name: shapes or values are wrong, and the verdict says which.
    let place = |id: &str| -> PathBuf { directory.path().join(format!("{id}.safetensors")) };
    std::fs::copy(place(ids[2]), place(ids[0])).unwrap();
    let output = check(&["--format", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let lines = text(&output.stdout);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed: Vec<&Value> = lines.iter().filter(|line| line["verdict"] == "FAIL").collect();
    assert!(!failed.is_empty() && failed.iter().all(|line| line["case"] == ids[0]), "{failed:?}");
    assert!(failed.iter().all(|line| line["tensor"].is_string()), "{failed:?}");
}

#[test]
fn exit_codes_of_what_cannot_be_judged() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().to_str().unwrap();
    let case = format!("{}/{}.safetensors", vectors(), backward_cases()[0]);
    // Nothing was submitted.
    assert_eq!(lowrank(&["check", "--submission", folder, &case]).status.code(), Some(3));
    // A case that is no file, and one that is no safetensors.
    let junk = directory.path().join("junk.safetensors");
    std::fs::write(&junk, "not a case").unwrap();
    for bad in [junk.to_str().unwrap(), "missing.safetensors"] {
        let output = lowrank(&["emit", bad, "-o", "/dev/null"]);
        assert_eq!(output.status.code(), Some(2), "{bad}");
        assert_eq!(text(&output.stderr).trim_end().lines().count(), 1, "{bad}");
        assert!(text(&output.stderr).contains(bad), "{}", text(&output.stderr));
    }
    assert_eq!(lowrank(&["show", "../secret"]).status.code(), Some(2));
    let id = &backward_cases()[0];
    let output = lowrank(&["show", id, "--cases", &vectors()]);
    assert!(output.status.success() && text(&output.stdout).contains("in.grad_y"));
}

#[test]
fn the_selftest_says_what_it_ran_and_fails_with_5() {
    let directory = tempfile::tempdir().unwrap();
    let some = ["--method", "lora-plus", "--op", "merge"];
    let output =
        lowrank(&[&["selftest", "--cases", &vectors(), "--no-generator"], &some[..]].concat());
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}{}", text(&output.stderr));
    assert!(shown.contains("alpha-for-scale") && shown.contains("PASS     mutants"), "{shown}");
    assert!(shown.contains("SKIPPED  exact arithmetic: left out"), "{shown}");
    // Nothing but the report, where no terminal shows a bar.
    assert_eq!(text(&output.stderr), "");

    let missing = directory.path().join("generate.py");
    let generator = ["--require-generator", "--generator", missing.to_str().unwrap()];
    let arguments =
        [&["selftest", "--cases", &vectors(), "--format", "json"], &some[..], &generator];
    let output = lowrank(&arguments.concat());
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    let lines = text(&output.stdout);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed: Vec<&Value> = lines.iter().filter(|line| line["verdict"] == "FAIL").collect();
    assert!(failed.len() == 1 && failed[0]["part"] == "exact arithmetic", "{failed:?}");
    // A line for every case, with the mutants that it fails.
    let merged = lines.iter().find(|line| line["case"] == "lora-plus/merge/small-bounded").unwrap();
    assert!(merged["bf16"].as_array().unwrap().contains(&"delta-sign".into()), "{merged}");

    let empty = directory.path().to_str().unwrap();
    assert_eq!(lowrank(&["selftest", "--cases", empty]).status.code(), Some(2));
}

/// A reader that has seen enough, as `| head -1` has, is no error.
#[test]
fn a_closed_pipe_is_no_error() {
    let id = &backward_cases()[0];
    let selftest = ["selftest", "--no-generator", "--method", "lora-plus", "--op", "merge"];
    let verbs: [&[&str]; 4] = [&["show", id], &["list"], &["bounds"], &selftest];
    for verb in verbs {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lowrank"));
        command.args(verb);
        if verb[0] != "bounds" {
            command.args(["--cases", &vectors()]);
        }
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.stdout(writer).stderr(std::process::Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{verb:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "{verb:?}");
    }
}
