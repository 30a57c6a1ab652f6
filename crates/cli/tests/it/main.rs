//! Tests of the command line. One binary: linking is most of what a test costs.

mod days;
mod examples;
mod inspect;
mod oracle;
mod verbs;
mod words;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn lowrank(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lowrank"));
    // Two runs are compared bit for bit: the same number of threads in both.
    command.env("OPENBLAS_NUM_THREADS", "1").args(arguments).output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What is written on standard error, without the lines that say how much memory a run will hold, and that it is not kept.
fn remarks(output: Output) -> String {
    let text = String::from_utf8(output.stderr).unwrap();
    let always = ["memory: at least ", "no --out: "];
    let usual = |line: &&str| !always.iter().any(|start| line.starts_with(start));
    text.split_inclusive('\n').filter(usual).collect()
}

/// The one line that a failure prints.
fn error(arguments: &[&str]) -> String {
    let output = lowrank(arguments);
    let code = output.status.code();
    let text = remarks(output);
    assert_eq!(code, Some(2), "{arguments:?}: {text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{arguments:?}: {text}");
    assert!(text.starts_with("error: "), "{text}");
    text
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

fn sorted_down(folder: &Path, rows: usize) -> String {
    let row = |i: usize| {
        let mut digits: Vec<char> = format!("{:08}", i * 7_654_321 % 100_000_000).chars().collect();
        let prompt: String = digits.iter().collect();
        digits.sort_unstable_by(|a, b| b.cmp(a));
        let completion: String = digits.into_iter().collect();
        format!("{{\"prompt\": \"{prompt}>\", \"completion\": \"{completion}\"}}\n")
    };
    let file = path(folder, "rows.jsonl");
    std::fs::write(&file, (1..=rows).map(row).collect::<String>()).unwrap();
    file
}
