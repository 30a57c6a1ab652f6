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
    // The first of them has the text for a person.
    let reports: Vec<&str> = lines.iter().filter_map(|line| line["report"].as_str()).collect();
    assert!(reports.len() == 1 && reports[0].contains("first divergence: "), "{reports:?}");
    assert_eq!(failed[0]["report"], reports[0]);
    // The diagnosis is the last line here, and the first one for a person.
    let diagnosis = &lines.last().unwrap()["diagnosis"];
    assert_eq!((&diagnosis["judged"], &diagnosis["failed"]), (&5.into(), &1.into()), "{diagnosis}");
    assert_eq!(diagnosis["mistakes"].as_array().map(Vec::len), Some(0), "{diagnosis}");
    let shown = text(&check(&[]).stdout);
    assert_eq!(shown.lines().next().unwrap(), diagnosis["text"], "{shown}");
    assert!(shown.starts_with("FAIL: 1 of 5 cases") && shown.contains(ids[0]), "{shown}");

    // A file that cannot be read: a test case with an error, and the exit code says so.
    std::fs::write(place(ids[1]), "no tensors").unwrap();
    let output = check(&["--format", "junit"]);
    assert_eq!(output.status.code(), Some(2));
    let xml = text(&output.stdout);
    assert!(
        xml.contains("failures=\"1\" errors=\"1\"") && xml.contains("<error message="),
        "{xml}"
    );
    assert!(xml.contains("<property name=\"diagnosis\" value=\"FAIL: 1 of 4 cases"), "{xml}");
}

/// The whole of a method's merge submitted with s left out: the first line names it, three cases are shown in full.
#[test]
fn the_first_line_is_the_diagnosis() {
    let directory = tempfile::tempdir().unwrap();
    let cases = Path::new(&vectors()).join("lora/merge");
    let mutant = oracle::mutants().find(|mutant| mutant.name == "scale-missing");
    for path in oracle::cases_under(&cases).unwrap() {
        let (case, file) = oracle::read_case(&path).unwrap();
        let made = |mutant| oracle::selftest::submission(&file, mutant, oracle::Profile::F32);
        let answer = made(mutant).unwrap().or_else(|| made(None).unwrap()).unwrap();
        let place = directory.path().join(format!("{}.safetensors", case.id.unwrap()));
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, answer.to_bytes().unwrap()).unwrap();
    }
    let arguments =
        ["check", "--submission", directory.path().to_str().unwrap(), "--cases", &vectors()];
    let output = lowrank(&arguments);
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout);
    let first = shown.lines().next().unwrap();
    assert!(first.starts_with("FAIL: ") && first.ends_with(": s not applied"), "{first}");
    assert!(first.contains("one mistake explains all"), "{first}");
    assert_eq!(shown.matches("first divergence").count(), 3, "{shown}");
    // It fits a screen, and what was not submitted is one line of it.
    assert!(shown.lines().count() < 40, "{shown}");
    assert!(shown.contains("cases were not submitted"), "{shown}");
    let shown = text(&lowrank(&[&arguments[..], &["--verbose"]].concat()).stdout);
    assert!(shown.matches("first divergence").count() > 50, "{shown}");
}

#[test]
fn exit_codes_of_what_cannot_be_judged() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().to_str().unwrap();
    let case = format!("{}/{}.safetensors", vectors(), backward_cases()[0]);
    // Nothing was submitted.
    let output = lowrank(&["check", "--submission", folder, &case]);
    assert_eq!(output.status.code(), Some(3));
    let [place, such] =
        ["<id>", backward_cases()[0].as_str()].map(|id| format!("{folder}/{id}.safetensors"));
    let hint = format!("each is expected at {place}, such as {such}");
    assert!(text(&output.stderr).contains(&hint), "{}", text(&output.stderr));
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
    // A case that is not there, and one that is there and cannot be read.
    let show = || text(&lowrank(&["show", "lora/merge/junk", "--cases", folder]).stderr);
    assert!(show().contains("no such case: see `lowrank list`"), "{}", show());
    std::fs::create_dir_all(directory.path().join("lora/merge")).unwrap();
    std::fs::copy(&junk, directory.path().join("lora/merge/junk.safetensors")).unwrap();
    assert!(show().contains("junk.safetensors") && !show().contains("no such case"), "{}", show());
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
    // Nor one that has closed standard error: the exit status still says what happened.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_lowrank"));
    let output = command.args(["show", "none", "--cases", &vectors()]).stderr(writer).output();
    assert_eq!(output.unwrap().status.code(), Some(2));
}

/// A run that is right, one that is not, and where they part.
#[test]
fn a_run_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let case = Path::new(&vectors()).join("lora/step/adamw-later-bounded.safetensors");
    let [right, wrong] = ["right", "wrong"].map(|name| directory.path().join(name));
    for (folder, factor) in [(&right, 1.0), (&wrong, 1.5)] {
        std::fs::create_dir_all(folder).unwrap();
        let mut file = oracle::TensorFile::read(&case).unwrap();
        file.tensors.retain(|name, _| !name.starts_with("gauge."));
        let moved = file.tensors["out.lora_B"].to_f64().unwrap() * factor;
        file.tensors.insert("out.lora_B".into(), oracle::Tensor::f64(&moved));
        std::fs::write(folder.join("3-step.safetensors"), file.to_bytes().unwrap()).unwrap();
    }
    let [right, wrong] = [&right, &wrong].map(|folder| folder.to_str().unwrap());
    let output = lowrank(&["follow", right]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let output = lowrank(&["follow", right, wrong]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("each of its 1 records is right"), "{shown}");
    assert!(shown.contains("The first: step 3, update\n  lora_B  FAIL"), "{shown}");
    assert!(shown.contains("The two part in step 3, update."), "{shown}");
    assert!(shown.contains(&format!("{right} is right there, {wrong} is wrong there")), "{shown}");
    let output = lowrank(&["follow", right, wrong, "--format", "json"]);
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = &lines[lines.len() - 1]["parting"];
    assert_eq!(
        (&last["record"], &last["output"]["tensor"]),
        (&"step 3, update".into(), &"lora_B".into())
    );
    let diagnosed: Vec<_> = lines.iter().filter(|line| line.get("diagnosis").is_some()).collect();
    assert_eq!(diagnosed.iter().map(|line| &line["run"]).collect::<Vec<_>>(), [right, wrong]);
    assert!(diagnosed[0]["first_wrong"].is_null());
    assert_eq!(diagnosed[1]["first_wrong"], "step 3, update");
    let failed = |line: &&Value| line["verdict"] == "FAIL";
    assert_eq!(lines.iter().find(failed).unwrap()["run"], wrong);
    let output = lowrank(&["follow", directory.path().join("none").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("none: "), "{}", text(&output.stderr));
}

/// An update of which bf16 says nothing: that is not right, and a program is told so.
#[test]
fn a_run_that_cannot_be_judged_is_not_right() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().to_str().unwrap();
    let case = Path::new(&vectors()).join("lora-fa/step/projected-four-sgd-0-bounded.safetensors");
    let mut given = oracle::TensorFile::read(&case).unwrap();
    given.tensors.retain(|name, _| name.starts_with("in."));
    // Two rows of A that are nearly the same.
    let mut a = given.tensors["in.lora_A"].to_f64().unwrap();
    for column in 0..a.shape()[1] {
        a[[1, column]] = a[[0, column]];
    }
    a[[1, 0]] += 0.125;
    given.tensors.insert("in.lora_A".into(), oracle::Tensor::f64(&a));
    let record = |number: u64, file: &oracle::TensorFile| {
        let path = directory.path().join(format!("{number}-step.safetensors"));
        std::fs::write(path, file.to_bytes().unwrap()).unwrap();
    };
    let made = oracle::emit(&given).unwrap();
    record(3, &made);
    // Steps that were not recorded lie between: none begins where the one before ended.
    record(9, &made);
    assert_eq!(lowrank(&["follow", folder]).status.code(), Some(0));
    let output = lowrank(&["follow", folder, "--profile", "bf16"]);
    let (shown, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(3), "{shown}{told}");
    assert!(shown.contains("of its 2 records 0 are right, 2 could not be judged: "), "{shown}");
    assert!(
        told.contains("step 3, update, and another record: out.lora_B is not judged"),
        "{told}"
    );
    assert!(told.contains("no record could be judged"), "{told}");
    // Beside one that is right.
    let known = case.with_file_name("sgd-bounded.safetensors");
    record(20, &oracle::TensorFile::read(&known).unwrap());
    let output = lowrank(&["follow", folder, "--profile", "bf16"]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.contains("of its 3 records 1 are right, 2 could not be judged: "), "{shown}");
    // The profile is that of the comparison too.
    let output = lowrank(&["follow", folder, folder, "--profile", "bf16"]);
    assert!(text(&output.stdout).contains("The two never differ"), "{}", text(&output.stdout));
}
