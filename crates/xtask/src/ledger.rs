//! The ledger: other implementations, run through the oracle.

use anyhow::{Context, Result};

use crate::parity::path_text;
use crate::process::{cargo, command, run};
use crate::wheel;
use crate::workspace::root;

/// `cargo xtask ledger [--check]`.
pub fn main(check: bool) -> Result<()> {
    let folder = root().join("tests/ledger");
    let python = wheel::ledger_environment()?;
    // Apart from the workspace: its own lock file, its own 300 dependencies.
    let target = root().join(".cache/ledger/target");
    let mut build = cargo();
    build.args(["build", "--quiet", "--locked"]).current_dir(folder.join("peft-rs"));
    run(build.env("CARGO_TARGET_DIR", &target), "be online, and have Rust 1.94 or newer")?;
    let program = format!("ledger-peft-rs{}", std::env::consts::EXE_SUFFIX);
    let program = path_text(&target.join("debug").join(program)).context("peft-rs")?;

    let mut ledger = command(&python, ["ledger.py"]);
    ledger.args(check.then_some("--check")).current_dir(folder);
    run(ledger.env("LEDGER_PEFT_RS", program), "its last lines say why")
}
