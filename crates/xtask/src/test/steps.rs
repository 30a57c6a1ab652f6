//! The steps. All but four share one build: the workspace with BLAS, as `cargo test --workspace` makes it. A command that
//! names a package would choose other features for the crates they share, and build them again.

use std::process::Command;

use anyhow::{Result, bail};

use super::{Outcome, Step};
use crate::process::{cargo, check, run, run_lines};
use crate::tally::{Reader, Tally};
use crate::workspace::{examples, methods, read, relative, root, sources};
use crate::{book, dependencies, gpu, live, model, selftest, unsafe_code, wasm, wheel};

const fn step(name: &'static str, what: &'static str, run: fn() -> Result<Outcome>) -> Step {
    Step { name, what, run, inputs: None }
}

pub const STEPS: [Step; 16] = [
    step("format", "cargo fmt --check, no merge left half done", format),
    step("unsafe", "only crates/cuda and crates/matmul allow unsafe code", no_unsafe),
    step("fences", "all code in the book is tested, no include is empty", fences),
    step("dependencies", "licences, sources, crates kept out", accepted_dependencies),
    step("lint", "clippy, workspace, all targets", lint),
    step("wasm", "clippy, what a browser runs, without BLAS, for wasm32", wasm),
    step("docs", "rustdoc without a warning", docs),
    step("test", "tests and doctests, workspace, with BLAS", test_workspace),
    step("examples", "every example of the method crates, adapter and rank runs", run_examples),
    step("test-no-blas", "tests of the method crates and peft, without BLAS", test_without_blas),
    step("kernels", "every CUDA kernel compiles with NVRTC for three architectures", kernels),
    Step {
        name: "emulated",
        what: "the GPU path on the CPU, under AddressSanitizer and UBSan",
        run: emulated,
        inputs: Some(gpu::inputs),
    },
    Step {
        name: "vectors",
        what: "selftest: the vectors are what exact arithmetic gives, every mutant fails",
        run: vectors,
        inputs: Some(selftest::inputs),
    },
    Step {
        name: "python",
        what: "the wheel installs, its tests and examples pass",
        run: python,
        inputs: Some(wheel::inputs),
    },
    Step {
        name: "book",
        what: "numbers and figures are fresh, pages build, links lead somewhere",
        run: the_book,
        inputs: Some(book::inputs),
    },
    Step {
        name: "live",
        what: "in a headless browser every page is well, and the experiments give the native numbers",
        run: experiments,
        inputs: Some(live::inputs),
    },
];

fn format() -> Result<Outcome> {
    run(cargo().args(["fmt", "--all", "--check"]), "cargo fmt --all")?;
    for extension in ["md", "toml", "yml", "py", "cu", "js", "mjs", "css"] {
        for path in sources(root(), extension)? {
            let text = read(&path)?;
            if let Some(line) = text.lines().position(|line| line.starts_with("<<<<<<< ")) {
                bail!("{}:{}: a merge was left half done", relative(&path), line + 1);
            }
        }
    }
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

fn accepted_dependencies() -> Result<Outcome> {
    dependencies::check()?;
    Ok(Outcome::Passed)
}

fn lint() -> Result<Outcome> {
    clippy(cargo().args(["clippy", "--workspace", "--all-targets"]))?;
    Ok(Outcome::Passed)
}

fn clippy(command: &mut Command) -> Result<()> {
    run(command.args(["--", "-D", "warnings"]), "mend what is listed above")
}

/// The method crates and what they stand on: the browser runs them, and what depends on BLAS is written twice in them.
fn without_blas() -> Result<Vec<String>> {
    with_methods(["adapter", "rank", "peft"])
}

fn with_methods<const N: usize>(others: [&str; N]) -> Result<Vec<String>> {
    let mut packages = others.map(String::from).to_vec();
    packages.extend(methods()?);
    Ok(packages)
}

fn packages<'a>(command: &'a mut Command, names: &[String]) -> &'a mut Command {
    for name in names {
        command.args(["--package", &format!("lowrank-{name}")]);
    }
    command
}

/// Without C, threads and files. Where there is no wasm32, the same code is checked for this machine.
fn wasm() -> Result<Outcome> {
    let missing = wasm::ensure_target().err();
    let mut lint = cargo();
    lint.args(["clippy", "--lib", "--no-default-features"]);
    if missing.is_none() {
        lint.args(["--target", wasm::TARGET]);
    }
    let browser = with_methods(["adapter", "rank", "llama", "oracle"])?;
    clippy(packages(&mut lint, &browser))?;
    Ok(missing.map_or(Outcome::Passed, |why| {
        Outcome::Skipped(format!("no target {}: {why}", wasm::TARGET))
    }))
}

fn docs() -> Result<Outcome> {
    let mut doc = cargo();
    doc.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    run(&mut doc, "mend what is listed above")?;
    Ok(Outcome::Passed)
}

fn test_workspace() -> Result<Outcome> {
    // The tests that need it say SKIPPED themselves and are counted.
    if let Err(error) = model::ensure() {
        println!("SmolLM2 is not at hand, tests that need it will be SKIPPED: {error:#}");
    }
    let mut test = cargo();
    test.args(["test", "--workspace"]);
    count(test.envs(model::at_hand().map(|path| (model::VARIABLE, path))), &[])
}

fn test_without_blas() -> Result<Outcome> {
    count(packages(cargo().args(["test", "--lib", "--tests"]), &without_blas()?), &[])
}

/// Runs tests and counts them; `arguments` are for the tests themselves.
fn count(command: &mut Command, arguments: &[&str]) -> Result<Outcome> {
    // A test runs on each core: OpenBLAS's threads would only spin beside them.
    command.env("OPENBLAS_NUM_THREADS", "1");
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
    for package in with_methods(["adapter", "rank"])? {
        for example in examples(&package)? {
            let mut example_run = cargo();
            example_run.args(["run", "--quiet", "--example", &example]);
            println!("{example}");
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
        Ok(libraries) => count(&mut gpu::kernels_test(&libraries), &["kernels_compile::"]),
        Err(error) => Ok(Outcome::Skipped(format!("no libnvrtc: {error:#}"))),
    }
}

/// The shipped vectors are in the step `test`; here are the shapes that go wrong first.
fn emulated() -> Result<Outcome> {
    if let Err(why) = gpu::sanitized_test() {
        return Ok(Outcome::Skipped(why));
    }
    gpu::sanitizer_sees()?;
    // That one is ignored where no sanitizer is, and is counted here.
    let (mut tally, mut verdict) = (Tally { passed: 1, ..Tally::default() }, Ok(()));
    for (binary, filter) in gpu::EMULATED {
        let mut test = gpu::sanitized_test().map_err(anyhow::Error::msg)?;
        test.args(["test", "--workspace", "--test", binary]);
        let elsewhere = ["shipped_vectors", "a_thousand_steps", "an_overrun_is_seen"];
        let mut arguments: Vec<&str> = elsewhere.iter().flat_map(|name| ["--skip", name]).collect();
        arguments.push(filter);
        if let Outcome::Counted(more, outcome) = count(&mut test, &arguments)? {
            tally += more;
            verdict = verdict.and(outcome);
        }
    }
    Ok(Outcome::Counted(tally, verdict))
}

/// The generator shares no code with the crates. Without Python the rest of the self-test still runs.
fn vectors() -> Result<Outcome> {
    Ok(match selftest::run_and_keep()? {
        true => Outcome::Passed,
        false => Outcome::Skipped("the generator: python3 is missing or older than 3.10".into()),
    })
}

fn python() -> Result<Outcome> {
    match wheel::made_environment() {
        Ok(python) => wheel::test(&python).map(|(tally, verdict)| Outcome::Counted(tally, verdict)),
        Err(error) => Ok(Outcome::Skipped(format!("{error:#}"))),
    }
}

fn the_book() -> Result<Outcome> {
    book::regen(true)?;
    book::built()?;
    Ok(Outcome::Passed)
}

fn experiments() -> Result<Outcome> {
    Ok(match live::check()? {
        Ok(()) => Outcome::Passed,
        Err(why) => Outcome::Skipped(format!("the pages in a browser: {why}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `cargo run --example NAME` finds it by its name alone, and two of one name would overwrite each other.
    #[test]
    fn examples_have_names_of_their_own() {
        let crates = crate::workspace::entries(&root().join("crates")).unwrap();
        let of =
            |folder: &std::path::PathBuf| examples(&folder.file_name().unwrap().to_string_lossy());
        let mut names: Vec<String> = crates.iter().flat_map(|folder| of(folder).unwrap()).collect();
        names.sort();
        let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(twice.is_empty(), "call it <package>-<example>: {twice:?}");
    }

    /// A program with `test = false` is not built for unit tests: one in it would never run.
    #[test]
    fn what_is_not_built_for_tests_has_none() {
        let mut seen = 0;
        for manifest in sources(root(), "toml").unwrap() {
            let text = read(&manifest).unwrap();
            for program in text.split("[[bin]]").skip(1) {
                let program = program.split("\n[").next().unwrap_or_default();
                if !program.contains("test = false")
                    || manifest.starts_with(root().join("crates/oracle/fuzz"))
                {
                    continue;
                }
                let path =
                    program.split("path = \"").nth(1).and_then(|rest| rest.split('"').next());
                let main = manifest.with_file_name(path.unwrap_or("src/main.rs"));
                let folder = main.parent().unwrap().to_path_buf();
                let own = if main.ends_with("main.rs") {
                    sources(&folder, "rs").unwrap()
                } else {
                    vec![main]
                };
                for source in own {
                    assert!(
                        !read(&source).unwrap().contains("#[test]"),
                        "{} is not run",
                        relative(&source)
                    );
                    seen += 1;
                }
            }
        }
        assert!(seen > 0);
    }
}
