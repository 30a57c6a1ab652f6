//! The second source: `crates/oracle/exact/generate.py`, rational arithmetic that shares no code with the crates.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::settings::{Outcome, Settings};
use crate::case::Method;

/// Where it is.
pub(super) struct Generator(PathBuf);

/// The generator and a Python that runs it, or why there is none.
pub(super) fn find(settings: &Settings) -> Result<Generator, String> {
    if settings.no_generator {
        return Err("left out".into());
    }
    // tests/vectors in the repository
    let beside = || settings.vectors.join("../../crates/oracle/exact/generate.py");
    let path = settings.generator.clone().unwrap_or_else(beside);
    if !path.is_file() {
        return Err(format!("{} is not there", path.display()));
    }
    let version = "import sys; sys.exit(sys.version_info < (3, 10))";
    let new = Command::new("python3").args(["-c", version]).stderr(Stdio::null()).status();
    match new {
        Ok(status) if status.success() => Ok(Generator(path)),
        _ => Err("python3 is missing or older than 3.10".into()),
    }
}

impl Generator {
    /// Make the chosen cases of a method again and compare each byte, and the entries of the index.
    pub fn check(&self, settings: &Settings, method: Method) -> Outcome {
        let mut python = Command::new("python3");
        python.arg(&self.0).arg("--check").arg("--out").arg(&settings.vectors);
        match settings.ops.as_slice() {
            [] => {
                python.arg("--only").arg(format!("{method}/"));
            }
            ops => ops.iter().for_each(|op| {
                python.arg("--only").arg(format!("{method}/{op}/"));
            }),
        }
        match python.stdin(Stdio::null()).output() {
            Err(error) => Outcome::Failed(vec![format!("python3: {error}")]),
            Ok(output) if output.status.success() => {
                let text = String::from_utf8_lossy(&output.stdout);
                let cases = text.lines().last().and_then(|line| line.split_whitespace().next());
                Outcome::Passed(cases.unwrap_or("0").to_owned())
            }
            Ok(output) => {
                let [out, err] =
                    [&output.stdout, &output.stderr].map(|b| String::from_utf8_lossy(b));
                // The counts come first and are indented.
                let wrong = out.lines().chain(err.lines()).filter(|line| !line.starts_with(' '));
                Outcome::Failed(wrong.map(|line| format!("generate.py: {line}")).collect())
            }
        }
    }
}

/// One outcome of those of the methods.
pub(super) fn all(outcomes: Vec<Outcome>) -> Outcome {
    let (mut cases, mut wrong) = (0, Vec::new());
    for outcome in outcomes {
        match outcome {
            Outcome::Passed(count) => cases += count.parse().unwrap_or(0),
            Outcome::Failed(lines) => wrong.extend(lines),
            Outcome::Skipped(why) => wrong.push(why),
        }
    }
    match (wrong.is_empty(), cases) {
        (true, 0) => Outcome::Failed(vec!["generate.py made no case".into()]),
        (true, cases) => Outcome::Passed(format!("{cases} cases made again, byte for byte")),
        _ => Outcome::Failed(wrong),
    }
}
