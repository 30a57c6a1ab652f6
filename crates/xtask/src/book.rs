//! The book: its numbers and figures regenerated, its fences checked, its pages built and their links followed.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};

use crate::process::{cargo, check, run, run_lines, succeeds};
use crate::unchanged::Inputs;
use crate::workspace::{entries, examples, program, read, relative, root, sources};
use crate::{fences, model, openblas, selftest, wasm};

/// `cargo xtask book [--open]`.
pub fn main(open: bool) -> Result<()> {
    openblas::ensure()?;
    check_fences()?;
    build()?;
    let page = root().join("book/book/html/index.html");
    println!("{}", relative(&page));
    if !open {
        return Ok(());
    }
    let opener =
        ["xdg-open", "open"].into_iter().find(|name| succeeds(Command::new(name).arg(&page)));
    if opener.is_none() {
        println!("No browser could be started from here: open {}", page.display());
    }
    println!("The pages are built again when a file in book/src changes; Ctrl-C ends this.");
    let mut built = last_change()?;
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let changed = last_change()?;
        if changed > built {
            built = changed;
            // Half a chapter need not be right yet.
            match build() {
                Ok(()) => println!("built again"),
                Err(error) => eprintln!("{error:#}"),
            }
        }
    }
}

/// When a file of the book was last changed.
fn last_change() -> Result<SystemTime> {
    let mut last = SystemTime::UNIX_EPOCH;
    for extension in ["md", "html"] {
        for path in sources(&root().join("book/src"), extension)? {
            // An editor may be in the midst of replacing it.
            let changed = std::fs::metadata(&path).and_then(|metadata| metadata.modified());
            last = last.max(changed.unwrap_or(last));
        }
    }
    Ok(last)
}

/// `cargo xtask regen [--check]`.
pub fn regen(only_check: bool) -> Result<()> {
    openblas::ensure()?;
    if let Err(error) = model::ensure() {
        eprintln!("SmolLM2 is not at hand, so its figures cannot be made: {error:#}");
    }
    let mut regen = cargo();
    regen.args(["run", "--quiet", "--bin", "regen"]);
    if only_check {
        regen.args(["--", "--check"]);
    }
    regen.envs(model::at_hand().map(|path| (model::VARIABLE, path)));
    regen.envs(selftest::at_hand()?.map(|path| (selftest::VARIABLE, path)));
    // It runs as many trainings at once as there are cores.
    regen.env("OPENBLAS_NUM_THREADS", "1");
    let mut stale = Vec::new();
    let status = run_lines(&mut regen, |line| {
        println!("{line}");
        stale.extend(line.strip_prefix("STALE ").map(str::to_owned));
    })?;
    let hint = format!("`cargo xtask regen` rewrites what is stale: {}", stale.join("; "));
    check(&regen, status, &hint)
}

/// What the book depends on: the programs that make its numbers and pages, its text, and what they read.
pub fn inputs() -> Result<Inputs> {
    let mut build = cargo();
    build.args([
        "build",
        "--quiet",
        "--bin",
        "regen",
        "--bin",
        "pages",
        "--bin",
        "lowrank",
        "--examples",
    ]);
    run(&mut build, "mend what is listed above")?;
    let mut inputs = Inputs::of("book")?;
    for name in ["regen", "pages", "lowrank"] {
        inputs.path(&program(name))?;
    }
    for package in entries(&root().join("crates"))? {
        let package = package.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for example in examples(&package)? {
            inputs.path(&program(&format!("examples/{example}")))?;
        }
    }
    inputs.paths(["book", "crates", "tests/vectors", "tests/golden"])?;
    if let Some(model) = model::at_hand() {
        inputs.path(&model)?;
    }
    inputs.output(Command::new("c++").arg("--version"));
    Ok(inputs)
}

/// Fails with a list when code in the book is neither a doctest nor tested source, or an include is empty.
pub fn check_fences() -> Result<()> {
    let folder = root().join("book/src");
    let mut problems = Vec::new();
    for path in sources(&folder, "md")? {
        let beside = path.parent().unwrap_or(&folder);
        let found =
            fences::problems(&read(&path)?, |file| std::fs::read_to_string(beside.join(file)).ok());
        problems.extend(found.into_iter().map(|problem| format!("{}:{problem}", relative(&path))));
    }
    let tests = root().join("book/lib.rs");
    let source = read(&tests)?;
    for chapter in fences::chapters(&read(&folder.join("SUMMARY.md"))?) {
        if !fences::includes_chapter(&source, chapter) {
            problems.push(format!(
                "{}: the chapter {chapter} is not among the doctests",
                relative(&tests)
            ));
        }
    }
    if !problems.is_empty() {
        bail!("the book holds untested code or an empty include:\n  {}", problems.join("\n  "));
    }
    Ok(())
}

/// The pages, built once: a step changes nothing that they are made of.
pub fn built() -> Result<()> {
    static BUILT: AtomicBool = AtomicBool::new(false);
    if !BUILT.load(Ordering::Relaxed) {
        build()?;
        BUILT.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// Builds the pages, with their experiments where rustc can build for the browser, and follows their links.
fn build() -> Result<()> {
    let mut pages = cargo();
    // A backtrace would bury the line that says which page.
    pages.args(["run", "--quiet", "--bin", "pages", "--"]).env("RUST_BACKTRACE", "0");
    match wasm::ensure_target() {
        Ok(()) => drop(pages.arg(wasm::build()?)),
        Err(why) => {
            println!("The pages' experiments are left out, no target {}: {why}", wasm::TARGET)
        }
    }
    run(&mut pages, "the lines above say where")
}
