//! The oracle's self-test, run once: the suite reads its verdict, the book its tables.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::process::{cargo, check, command, first_line, run, run_lines};
use crate::unchanged::Inputs;
use crate::workspace::{program, target};

/// The variable by which `regen` is told where the report is.
pub const VARIABLE: &str = "LOWRANK_SELFTEST";

/// What it depends on: the program, the vectors, and the generator that makes them again.
pub fn inputs() -> Result<Inputs> {
    run(cargo().args(["build", "--quiet", "--bin", "lowrank"]), "mend what is listed above")?;
    let mut inputs = Inputs::of("vectors")?;
    inputs.path(&program("lowrank"))?;
    inputs.paths(["crates/oracle/exact", "tests/vectors"])?;
    inputs.output(&mut command("python3", ["--version"]));
    Ok(inputs)
}

/// Runs it and keeps its report, as lines of JSON. Whether the generator was run too: it needs Python.
pub fn run_and_keep() -> Result<bool> {
    let mut version = command("python3", ["-c", "import sys; print(sys.version_info >= (3, 10))"]);
    let python = first_line(&mut version).as_deref() == Some("True");
    let mut selftest = cargo();
    selftest.args(["run", "--quiet", "--bin", "lowrank", "--", "selftest", "--format", "json"]);
    selftest.arg(if python { "--require-generator" } else { "--no-generator" });
    let mut report = String::new();
    let status = run_lines(&mut selftest, |line| {
        // The verdicts; the other lines are the mutants, one by one.
        if line.starts_with("{\"part\"") {
            println!("{line}");
        }
        report.push_str(line);
        report.push('\n');
    })?;
    check(
        &selftest,
        status,
        "`python3 crates/oracle/exact/generate.py` writes tests/vectors anew",
    )?;
    std::fs::write(file(), report).context("cannot write target/selftest.jsonl")?;
    Ok(python)
}

/// The report, if it is there and is of the present program and vectors.
pub fn at_hand() -> Result<Option<PathBuf>> {
    let fresh = file().is_file() && inputs()?.passed().is_some();
    Ok(fresh.then(file))
}

fn file() -> PathBuf {
    target().join("selftest.jsonl")
}
