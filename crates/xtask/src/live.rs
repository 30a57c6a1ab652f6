//! The book's experiments, driven in a browser. And every page, looked at there.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{cargo, command, first_line, run};
use crate::unchanged::Inputs;
use crate::workspace::{entries, program, read, root, target};
use crate::{book, wasm};

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// What is needed to drive the pages: a browser, and a folder with the scripts and what they import. Else why not.
fn driver() -> Result<(&'static str, PathBuf), String> {
    wasm::ensure_target()?;
    let starts = |name: &&str| first_line(&mut command(name, ["--version"])).is_some();
    let browser = BROWSERS.into_iter().find(starts).ok_or("no Chromium is installed")?;
    for name in ["node", "npm"] {
        first_line(&mut command(name, ["--version"])).ok_or(format!("{name} is not installed"))?;
    }
    Ok((browser, scripts().map_err(|error| format!("{error:#}"))?))
}

/// The scripts, copied beside the packages that they import.
fn scripts() -> Result<PathBuf> {
    let folder = root().join(".cache/browser");
    std::fs::create_dir_all(&folder)?;
    let installed = folder.join("installed.json");
    let from = root().join("book/live/browser");
    for script in entries(&from)? {
        std::fs::copy(&script, folder.join(script.file_name().context("a file has a name")?))?;
    }
    let wanted = read(&from.join("package.json"))?;
    if !std::fs::read_to_string(&installed).is_ok_and(|present| present == wanted) {
        let mut npm = command("npm", ["install", "--silent", "--no-audit", "--no-fund"]);
        run(npm.current_dir(&folder), "the npm registry cannot be reached from here")?;
        std::fs::write(&installed, wanted)?;
    }
    Ok(folder)
}

/// What the pages and the scripts are, with the pages built.
pub fn inputs() -> Result<Inputs> {
    book::built()?;
    let mut inputs = Inputs::of("live")?;
    inputs.path(&html())?;
    inputs.paths(["book/live", "crates", "tests/vectors/lora/forward"])?;
    for name in BROWSERS {
        inputs.output(&mut command(name, ["--version"]));
    }
    Ok(inputs)
}

/// Lints the page's modules, looks at every page in a browser, and compares what the experiments give there with what the crates
/// give natively. Says why if it cannot.
pub fn check() -> Result<Result<(), String>> {
    let (browser, scripts) = match driver() {
        Ok(found) => found,
        Err(why) => return Ok(Err(why)),
    };
    book::built()?;
    let mut biome = Command::new(scripts.join("node_modules/.bin/biome"));
    biome.args(["ci", "page", "browser"]).current_dir(root().join("book/live"));
    run(&mut biome, "biome says above what to mend; `biome check --write` mends most")?;

    let browser = which(browser)?;
    let mut look = Command::new("node");
    look.arg(scripts.join("pages.mjs")).arg(html()).arg(target().join("pages")).arg(&browser);
    run(&mut look, "the lines above say which page; target/pages has a picture of each")?;

    let mut answers = cargo();
    answers.args(["build", "--quiet", "--bin", "answers"]);
    run(&mut answers, "mend what is listed above")?;
    let native = target().join("live/native.json");
    let output = Command::new(program("answers")).output()?;
    std::fs::write(&native, output.stdout)?;
    let mut drive = Command::new("node");
    drive.arg(scripts.join("drive.mjs")).arg(html()).arg(&native).arg(browser);
    drive.arg(root().join("tests/vectors"));
    run(&mut drive, "the lines above say which page")?;
    Ok(Ok(()))
}

fn html() -> PathBuf {
    root().join("book/book/html")
}

/// The path of a program.
fn which(name: &str) -> Result<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&paths).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not on the PATH"))
}
