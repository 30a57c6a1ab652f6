//! The book: its numbers and figures regenerated, its fences checked, its pages built and their links followed.

use std::process::Command;

use anyhow::{Result, bail};

use crate::process::{capture, cargo, run, shown};
use crate::workspace::{read, relative, root, sources};
use crate::{fences, model, openblas, tools};

/// `cargo xtask book [--open]`.
pub fn main(open: bool) -> Result<()> {
    check_fences()?;
    build()?;
    println!("book/book/html/index.html");
    if open {
        let mut serve = mdbook("serve")?;
        run(serve.arg("--open"), "is port 3000 taken by another server?")?;
    }
    Ok(())
}

/// `cargo xtask regen [--check]`.
pub fn regen(check: bool) -> Result<()> {
    openblas::ensure()?;
    if let Err(error) = model::ensure() {
        eprintln!("SmolLM2 is not at hand, so its figures cannot be made: {error:#}");
    }
    run(&mut regen_command(check), "`cargo xtask regen` rewrites what is stale")
}

/// The program that rewrites, or checks, the book's numbers and figures.
pub fn regen_command(check: bool) -> Command {
    let mut regen = cargo();
    regen.args(["run", "--release", "--package", "book", "--bin", "regen"]);
    if check {
        regen.args(["--", "--check"]);
    }
    regen.envs(model::at_hand().map(|path| (model::VARIABLE, path)));
    regen
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

/// Builds the pages and follows their links.
pub fn build() -> Result<()> {
    let mut build = mdbook("build")?;
    // mdbook-linkcheck2 would add a backtrace to every dead link.
    let (succeeded, output) = capture(build.env("RUST_BACKTRACE", "0"))?;
    // mdbook-katex complains of every mdbook but the one it was built with, to the last digit.
    let noise =
        |line: &&str| line.starts_with(" INFO") || line.contains("was built against mdbook");
    for line in output.lines().filter(|line| !noise(line)) {
        eprintln!("{line}");
    }
    match complaint(&output) {
        Some(what) => bail!("`{}`: {what}", shown(&build)),
        None if !succeeded => {
            bail!("`{}` failed ---> HINT: the lines above say where", shown(&build))
        }
        None => Ok(()),
    }
}

/// What mdbook and its preprocessors print, carrying on and exiting with 0.
fn complaint(output: &str) -> Option<&'static str> {
    if output.contains("mdbook_katex::render") && output.contains("Rendering failed") {
        Some("a formula is not valid LaTeX ---> HINT: a stray $ in a text is written \\$")
    } else if output.lines().any(|line| line.starts_with("ERROR")) {
        Some("a page is incomplete or a link leads nowhere ---> HINT: the lines above say where")
    } else if output.contains("HTML tag") {
        Some(
            "a page has an HTML tag without its partner ---> HINT: in a formula, `_` after a bracket or bar reads as emphasis: write \\rVert_2, not \\|_2",
        )
    } else {
        None
    }
}

fn mdbook(verb: &str) -> Result<Command> {
    let mut mdbook = tools::command(&tools::BOOK)?;
    mdbook.arg(verb).arg("book");
    Ok(mdbook)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_that_exit_with_0_are_heard() {
        let katex =
            " WARN render: mdbook_katex::render: Rendering failed, keeping the original content";
        assert!(complaint(katex).is_some_and(|what| what.contains("LaTeX")));
        let include =
            " INFO Book building has started\nERROR Error updating \"{{#include gone.md}}\"";
        assert!(complaint(include).is_some_and(|what| what.contains("incomplete")));
        let html = " WARN unclosed HTML tag `<math>` found in `svd.md` while exiting Emphasis";
        assert!(complaint(html).is_some_and(|what| what.contains("HTML")));
        assert_eq!(
            complaint(" INFO Book building has started\n INFO Running the html backend"),
            None
        );
    }
}
