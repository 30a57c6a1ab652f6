//! The Python wheel of the oracle: built by maturin, tested in an environment of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread::{JoinHandle, spawn};

use anyhow::{Context, Result};

use crate::parity::{self, path_text};
use crate::process::{check, command, run, run_lines, without_cargo};
use crate::tally::Tally;
use crate::unchanged::Inputs;
use crate::workspace::{entries, read, relative, root, target};

const HINT: &str = "be online; PIP_INDEX_URL and PIP_EXTRA_INDEX_URL choose other package indexes";

/// `cargo xtask wheel`.
pub fn main() -> Result<()> {
    let wheel = build(&environment()?, "release")?;
    println!("{}", wheel.display());
    println!(
        "pip install it, and `import lowrank_oracle`; crates/oracle/python/README.md says how to go on"
    );
    Ok(())
}

/// The environments are gigabytes from the network, on one core: they are made beside the steps before this one.
static BEGUN: Mutex<Option<JoinHandle<()>>> = Mutex::new(None);

/// Begins to make them. What goes wrong is met again, and told, by who waits for them.
pub fn begin() {
    let making = spawn(|| {
        let _ = environment().and_then(|_| parity::environment());
    });
    *BEGUN.lock().unwrap_or_else(PoisonError::into_inner) = Some(making);
}

/// As [`environment`], once that has ended.
pub fn made_environment() -> Result<String> {
    let begun = BEGUN.lock().unwrap_or_else(PoisonError::into_inner).take();
    // A panic in it has been printed.
    let _ = begun.map(JoinHandle::join);
    environment()
}

/// Python of `.cache/oracle`: what builds the wheel and tests it.
pub fn environment() -> Result<String> {
    filled("oracle", &folder_of_python().join("requirements.txt"))
}

/// Python of `.cache/release`: what builds the wheels of a release and checks them.
pub fn release_environment() -> Result<String> {
    filled("release", &folder_of_python().join("requirements-release.txt"))
}

/// Python of `.cache/ledger/venv`: the implementations of the ledger, the torch of `.cache/venv`, and the wheel.
pub fn ledger_environment() -> Result<String> {
    let python = filled("ledger/venv", &root().join("tests/ledger/requirements.txt"))?;
    torch(&python)?;
    install(&python, &build(&environment()?, "dev")?)?;
    Ok(python)
}

/// Python of a folder in `.cache`, made and filled as a file of requirements says.
fn filled(name: &str, requirements: &Path) -> Result<String> {
    let folder = root().join(".cache").join(name);
    let python = path_text(&folder.join("bin/python"))?;
    let wanted = read(requirements)?;
    // Written last: it says that this environment is whole.
    let installed = folder.join("requirements.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|present| present == wanted) {
        return Ok(python);
    }
    eprintln!("Making .cache/{name} as {} says", relative(requirements));
    let hint = "install Python's venv module (apt-get install python3-venv)";
    run(command("python3", ["-m", "venv", "--clear"]).arg(&folder), hint)?;
    run(parity::pip_install(&python).arg("--requirement").arg(requirements), HINT)?;
    std::fs::write(&installed, wanted)
        .with_context(|| format!("cannot write into .cache/{name}"))?;
    Ok(python)
}

fn install(python: &str, wheel: &Path) -> Result<()> {
    run(parity::pip_install(python).args(["--force-reinstall", "--no-deps"]).arg(wheel), HINT)
}

/// Builds the wheel and returns its path. Cargo's profile `dev` shares its dependencies with the tests.
fn build(python: &str, profile: &str) -> Result<PathBuf> {
    let out = std::path::absolute(target())?.join("wheels");
    // One wheel is in it, or none: an old one must not be taken for the new.
    if out.exists() {
        std::fs::remove_dir_all(&out).with_context(|| format!("cannot empty {}", out.display()))?;
    }
    maturin(python, profile, &out, &[])?;
    let found = entries(&out)?;
    found.into_iter().next().with_context(|| format!("maturin left no wheel in {}", out.display()))
}

/// Builds the wheel of a target into a folder. With zig it runs on every Linux since 2014.
pub fn release(python: &str, target: &str, zig: bool, out: &Path) -> Result<()> {
    let linux = ["--zig", "--compatibility", "manylinux2014"];
    let more = if zig { linux.as_slice() } else { &[] };
    maturin(python, "release", out, &[&["--target", target], more].concat())
}

fn maturin(python: &str, profile: &str, out: &Path, more: &[&str]) -> Result<()> {
    let mut maturin =
        command(python, ["-m", "maturin", "build", "--locked", "--quiet", "--profile"]);
    maturin.arg(profile).arg("--out").arg(out).args(more).current_dir(folder_of_python());
    // Where zig is looked for.
    maturin.env("CARGO_ZIGBUILD_PYTHON_PATH", python);
    run(without_cargo(&mut maturin), "its output is above")
}

/// What the wheel and its tests depend on.
pub fn inputs() -> Result<Inputs> {
    let mut inputs = Inputs::of("python")?;
    // What the program is made of: maturin builds another one than the workspace has.
    inputs.paths(["crates", ".cargo", "Cargo.toml", "Cargo.lock", "tests/vectors", "README.md"])?;
    inputs.paths(["tests/parity/requirements.txt"])?;
    inputs.output(&mut command("rustc", ["--version"]));
    inputs.output(&mut command("python3", ["--version"]));
    // Without torch, what needs it is skipped.
    let torch = root().join(".cache/venv/requirements.txt");
    if torch.is_file() {
        inputs.path(&torch)?;
    }
    Ok(inputs)
}

/// Builds the wheel, installs it and runs its tests and examples. `Err` in the second place says why they failed.
pub fn test(python: &str) -> Result<(Tally, Result<()>)> {
    let wheel = build(python, "dev")?;
    install(python, &wheel)?;
    run(
        Command::new(Path::new(python).with_file_name("lowrank")).arg("--version"),
        "the wheel has no `lowrank`",
    )?;

    let mut tally = Tally::default();
    let workers = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    let judge = |arguments: &[&str]| {
        // A judged case is a process of its own: one core would wait for it.
        let mut run = command(python, ["-m", "pytest", "-rs", "-n", &workers]);
        run.args(arguments);
        run
    };
    // JAX compiles anew for each shape: a part of its cases takes seconds, all of them a minute.
    let mut runs =
        vec![judge(&["tests"]), judge(&["-k", "exact and not w0", "examples/jax_lora.py"])];
    match torch(python) {
        Ok(()) => {
            runs.push(judge(&["examples/torch_lora.py"]));
            // All cases are the ledger's business; these show that the suite runs.
            runs.push(judge(&[
                "-k",
                "plain and not lora-fa",
                "--pyargs",
                "lowrank_oracle.suites.peft",
            ]));
        }
        Err(error) => {
            println!("SKIPPED what needs torch: {error:#}");
            tally.skipped += 1;
        }
    }
    let mut outcome = Ok(());
    for run in &mut runs {
        run.current_dir(folder_of_python());
        let mut counted = None;
        let status = run_lines(run, |line| {
            counted = pytest(line).or(counted);
            println!("{line}");
        })?;
        tally += counted.unwrap_or_default();
        outcome = outcome.and(check(run, status, "the failures are listed above"));
    }
    Ok((tally, outcome))
}

/// Lets the environment see the torch of `.cache/venv`, five gigabytes that need not be there twice.
fn torch(python: &str) -> Result<()> {
    let packages = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let of = |python: &str| {
        let found = crate::process::first_line(&mut command(python, ["-c", packages]));
        found.with_context(|| format!("{python} does not run"))
    };
    let link = Path::new(&of(python)?).join("torch-of-parity.pth");
    std::fs::write(&link, of(&parity::environment()?)? + "\n")
        .with_context(|| format!("cannot write {}", link.display()))?;
    run(&mut command(python, ["-c", "import torch"]), "remove .cache/venv and try again")
}

/// The counts in pytest's last line: `1 failed, 410 passed, 2 skipped, 3 warnings in 19.38s`.
fn pytest(line: &str) -> Option<Tally> {
    let (counts, _) = line.trim_matches(['=', ' ']).split_once(" in ")?;
    let mut tally = Tally::default();
    for part in counts.split(", ") {
        let (number, what) = part.split_once(' ')?;
        let number = number.parse::<usize>().ok()?;
        match what {
            // An expected failure that did fail is what was to be shown.
            "passed" | "xfailed" => tally.passed += number,
            "failed" | "error" | "errors" | "xpassed" => tally.failed += number,
            "skipped" => tally.skipped += number,
            _ => {}
        }
    }
    Some(tally)
}

fn folder_of_python() -> PathBuf {
    root().join("crates/oracle/python")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_pytest_is_counted() {
        let tally = |passed, failed, skipped| Some(Tally { passed, failed, skipped });
        assert_eq!(pytest("410 passed in 19.38s"), tally(410, 0, 0));
        assert_eq!(pytest("== 1 failed, 9 passed, 2 skipped in 1.0s =="), tally(9, 1, 2));
        assert_eq!(pytest("2 errors, 3 xfailed, 1 warning in 0.1s (0:00:01)"), tally(3, 2, 0));
        assert_eq!(pytest("no tests ran in 0.01s"), None);
        assert_eq!(pytest("..F. [ 10%]"), None);
    }
}
