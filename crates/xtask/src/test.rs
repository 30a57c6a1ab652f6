//! Everything CI checks, in numbered steps.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, bail};

use crate::process::{self, capture, cargo, check, command, run, run_lines};
use crate::tally::{Reader, Tally};
use crate::workspace::{examples, has_wasm, methods, without_blas};
use crate::{book, gpu, model, openblas, tools, unsafe_code, wheel};

struct Step {
    name: &'static str,
    what: &'static str,
    run: fn() -> Result<Outcome>,
}

/// How a step that did not fail ended. A failure is an `Err`.
enum Outcome {
    Passed,
    Skipped(String),
    /// A run of tests, with what it counted and, if it failed, why.
    Counted(Tally, Result<()>),
}

const STEPS: [Step; 16] = [
    Step { name: "format", what: "cargo fmt --check", run: format },
    Step { name: "unsafe", what: "only crates/cuda allows unsafe code", run: no_unsafe },
    Step {
        name: "fences",
        what: "all code in the book is tested, no include is empty",
        run: fences,
    },
    Step { name: "lint", what: "clippy, workspace, all targets", run: lint },
    Step { name: "lint-no-blas", what: "clippy, libraries, without BLAS", run: lint_without_blas },
    Step { name: "docs", what: "rustdoc without a warning", run: docs },
    Step { name: "wasm", what: "the method crates build for wasm32", run: wasm },
    Step { name: "test-no-blas", what: "tests, libraries, without BLAS", run: test_without_blas },
    Step { name: "examples", what: "every example of a method crate runs", run: run_examples },
    Step { name: "test", what: "tests and doctests, workspace, with BLAS", run: test_workspace },
    Step {
        name: "kernels",
        what: "every CUDA kernel compiles with NVRTC for three architectures",
        run: kernels,
    },
    Step {
        name: "emulated",
        what: "the GPU path on the CPU, under AddressSanitizer and UBSan",
        run: emulated,
    },
    Step {
        name: "vectors",
        what: "selftest: the vectors are what exact arithmetic gives, every mutant fails",
        run: vectors,
    },
    Step { name: "python", what: "the wheel installs, its tests and examples pass", run: python },
    Step {
        name: "book",
        what: "numbers and figures are fresh, pages build, links lead somewhere",
        run: the_book,
    },
    Step { name: "deny", what: "licences, banned crates, sources", run: deny },
];

/// `cargo xtask test [--list | STEP...]`.
pub fn main(arguments: &[String]) -> Result<ExitCode> {
    if arguments.iter().any(|argument| argument == "--list") {
        for step in &STEPS {
            println!("{:<13} {}", step.name, step.what);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let unknown = |name: &&String| !STEPS.iter().any(|step| step.name == **name);
    if let Some(name) = arguments.iter().find(unknown) {
        let names = STEPS.map(|step| step.name).join(", ");
        bail!("unknown step `{name}`; there are {names}");
    }
    openblas::ensure()?;
    let chosen =
        |step: &&Step| arguments.is_empty() || arguments.iter().any(|name| name == step.name);
    Ok(run_steps(&STEPS.iter().filter(chosen).collect::<Vec<_>>()))
}

fn run_steps(steps: &[&Step]) -> ExitCode {
    let start = Instant::now();
    let (mut total, mut table) = (Tally::default(), Vec::new());
    for (index, step) in steps.iter().enumerate() {
        println!("\n[{}/{}] {}: {}", index + 1, steps.len(), step.name, step.what);
        let (start, outcome) = (Instant::now(), (step.run)());
        let (tally, verdict) = judge(outcome);
        total += tally;
        let row = format!("{:<13} {:>7.1} s  {verdict}", step.name, start.elapsed().as_secs_f64());
        println!("{row}");
        table.push(row);
    }
    println!("\n{}\n{:<13} {:>7.1} s", table.join("\n"), "all", start.elapsed().as_secs_f64());
    println!("\n{total}");
    if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A step that is no run of tests counts as one check.
fn judge(outcome: Result<Outcome>) -> (Tally, String) {
    match outcome {
        Ok(Outcome::Passed) => (Tally { passed: 1, ..Tally::default() }, "ok".into()),
        Ok(Outcome::Skipped(why)) => {
            (Tally { skipped: 1, ..Tally::default() }, format!("SKIPPED {why}"))
        }
        Ok(Outcome::Counted(tally, Ok(()))) => (tally, tally.to_string()),
        Ok(Outcome::Counted(mut tally, Err(error))) => {
            // What does not compile, or dies, prints no failed test.
            tally.failed = tally.failed.max(1);
            (tally, format!("FAILED {tally}: {error:#}"))
        }
        Err(error) => (Tally { failed: 1, ..Tally::default() }, format!("FAILED {error:#}")),
    }
}

fn format() -> Result<Outcome> {
    run(cargo().args(["fmt", "--all", "--check"]), "cargo fmt --all")?;
    Ok(Outcome::Passed)
}

fn no_unsafe() -> Result<Outcome> {
    unsafe_code::check()?;
    Ok(Outcome::Passed)
}

fn fences() -> Result<Outcome> {
    book::check_fences()?;
    Ok(Outcome::Passed)
}

fn lint() -> Result<Outcome> {
    clippy(cargo().args(["clippy", "--workspace", "--all-targets"]))
}

fn lint_without_blas() -> Result<Outcome> {
    clippy(packages(cargo().args(["clippy", "--all-targets"]), &without_blas()?))
}

fn clippy(command: &mut Command) -> Result<Outcome> {
    run(command.args(["--", "-D", "warnings"]), "mend what is listed above")?;
    Ok(Outcome::Passed)
}

fn docs() -> Result<Outcome> {
    let mut doc = cargo();
    doc.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    run(&mut doc, "mend what is listed above")?;
    Ok(Outcome::Passed)
}

fn wasm() -> Result<Outcome> {
    const TARGET: &str = "wasm32-unknown-unknown";
    if !has_wasm() {
        match capture(&mut command("rustup", ["target", "add", TARGET])) {
            Ok((true, _)) => {}
            Ok((false, output)) => {
                let why = output.lines().last().unwrap_or_default().to_owned();
                return Ok(Outcome::Skipped(format!("no target {TARGET}: {why}")));
            }
            Err(error) => return Ok(Outcome::Skipped(format!("no target {TARGET}: {error}"))),
        }
    }
    let mut build = cargo();
    build.args([
        "build",
        "--lib",
        "--no-default-features",
        "--target",
        TARGET,
        "--package",
        "adapter",
    ]);
    let hint = "what a method crate needs must build without C, threads and files";
    run(packages(&mut build, &methods()?), hint)?;
    Ok(Outcome::Passed)
}

fn test_without_blas() -> Result<Outcome> {
    count(packages(cargo().arg("test"), &without_blas()?))
}

fn test_workspace() -> Result<Outcome> {
    // The tests that need it say SKIPPED themselves and are counted.
    if let Err(error) = model::ensure() {
        println!("SmolLM2 is not at hand, tests that need it will be SKIPPED: {error:#}");
    }
    let mut test = cargo();
    test.args(["test", "--workspace"]);
    count(test.envs(model::at_hand().map(|path| (model::VARIABLE, path))))
}

fn count(command: &mut Command) -> Result<Outcome> {
    count_with(command, &[])
}

/// With more arguments for the tests themselves.
fn count_with(command: &mut Command, arguments: &[&str]) -> Result<Outcome> {
    command.args(["--no-fail-fast", "--", "--show-output"]).args(arguments);
    let mut reader = Reader::default();
    let status = run_lines(command, |line| {
        if reader.line(line) {
            println!("{line}");
        }
    })?;
    Ok(Outcome::Counted(reader.tally(), check(command, status, "the failures are listed above")))
}

fn run_examples() -> Result<Outcome> {
    let (mut tally, mut last) = (Tally::default(), Ok(()));
    for package in methods()? {
        for example in examples(&package)? {
            let mut example_run = cargo();
            example_run.args(["run", "--package", &package, "--example", &example]);
            if example == "gpu" {
                example_run.args(["--features", "cuda"]);
            }
            let mut skipped = false;
            let status = run_lines(&mut example_run, |line| {
                println!("{line}");
                skipped |= line.starts_with("SKIPPED");
            });
            let ran = status.and_then(|status| check(&example_run, status, "its output is above"));
            match ran {
                Ok(()) if skipped => tally.skipped += 1,
                Ok(()) => tally.passed += 1,
                Err(error) => {
                    tally.failed += 1;
                    println!("{error:#}");
                    last = Err(error);
                }
            }
        }
    }
    Ok(Outcome::Counted(tally, last))
}

fn kernels() -> Result<Outcome> {
    match gpu::nvrtc() {
        Ok(libraries) => count(&mut gpu::kernels_test(&libraries)),
        Err(error) => Ok(Outcome::Skipped(format!("no libnvrtc: {error:#}"))),
    }
}

fn emulated() -> Result<Outcome> {
    let mut test = match gpu::sanitized_test() {
        Ok(test) => test,
        Err(why) => return Ok(Outcome::Skipped(why)),
    };
    gpu::sanitizer_sees()?;
    // The shipped vectors are in the step `test`; here are the shapes that go wrong first.
    test.args(["test", "--workspace", "--test", "emulated", "--test", "gpu_emulated"]);
    count_with(&mut test, &["--skip", "shipped_vectors", "--skip", "a_thousand_steps"])
}

/// The generator shares no code with the crates. Without Python the rest of the self-test still runs.
fn vectors() -> Result<Outcome> {
    let mut version = command("python3", ["-c", "import sys; print(sys.version_info >= (3, 10))"]);
    let python = process::first_line(&mut version).as_deref() == Some("True");
    let mut selftest = cargo();
    selftest.args(["run", "--quiet", "--package", "lowrank", "--", "selftest"]);
    selftest.arg(if python { "--require-generator" } else { "--no-generator" });
    run(&mut selftest, "`python3 crates/oracle/exact/generate.py` writes tests/vectors anew")?;
    Ok(match python {
        true => Outcome::Passed,
        false => Outcome::Skipped("the generator: python3 is missing or older than 3.10".into()),
    })
}

fn python() -> Result<Outcome> {
    match wheel::environment() {
        Ok(python) => wheel::test(&python).map(|(tally, verdict)| Outcome::Counted(tally, verdict)),
        Err(error) => Ok(Outcome::Skipped(format!("{error:#}"))),
    }
}

fn the_book() -> Result<Outcome> {
    book::regen(true)?;
    book::build()?;
    Ok(Outcome::Passed)
}

fn deny() -> Result<Outcome> {
    let mut deny = tools::command(&[&tools::DENY])?;
    // Advisories would need a database from the network, and would fail on a day when nothing here has changed.
    deny.args(["check", "licenses", "bans", "sources"]);
    run(&mut deny, "deny.toml says what is accepted; add to it only what is meant")?;
    Ok(Outcome::Passed)
}

fn packages<'a>(command: &'a mut Command, names: &[String]) -> &'a mut Command {
    for name in names {
        command.args(["--package", name]);
    }
    command
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_run_that_dies_without_a_failed_test_is_a_failure() {
        let passed = Tally { passed: 7, failed: 0, skipped: 1 };
        let (tally, verdict) = judge(Ok(Outcome::Counted(passed, Err(anyhow!("signal 11")))));
        assert_eq!(tally, Tally { failed: 1, ..passed });
        assert!(verdict.starts_with("FAILED"), "{verdict}");
        let two = Tally { failed: 2, ..passed };
        assert_eq!(judge(Ok(Outcome::Counted(two, Err(anyhow!("exit 101"))))).0, two);
    }

    #[test]
    fn other_steps_count_as_one_check() {
        assert_eq!(judge(Ok(Outcome::Passed)).0, Tally { passed: 1, failed: 0, skipped: 0 });
        assert_eq!(judge(Err(anyhow!("no"))).0, Tally { passed: 0, failed: 1, skipped: 0 });
        let (tally, verdict) = judge(Ok(Outcome::Skipped("no network".into())));
        assert_eq!(tally, Tally { passed: 0, failed: 0, skipped: 1 });
        assert_eq!(verdict, "SKIPPED no network");
    }

    #[test]
    fn step_names_are_distinct() {
        let mut names = STEPS.map(|step| step.name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }
}
