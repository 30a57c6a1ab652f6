//! Builds the book's pages: `cargo xtask book`. mdBook does it; here formulas become MathML on the way, the experiments get
//! what they load, what mdBook only warns of is an error, and every link is followed to its end.
//!
//! `pages [FOLDER]`: the folder has `book/live` as `simd.wasm` and `plain.wasm`, which xtask builds.

#[path = "../../../book/pages/formulas.rs"]
mod formulas;
#[path = "../../../book/pages/links.rs"]
mod links;
#[path = "../../../book/pages/live.rs"]
mod live;
#[path = "../../../book/pages/warnings.rs"]
mod warnings;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use mdbook_driver::MDBook;

fn main() -> Result<ExitCode> {
    let warnings = warnings::collect()?;
    let folder = Path::new("/work/wt/live/book");
    let mut book = MDBook::load(folder).context("book/book.toml and book/src/SUMMARY.md")?;
    book.with_preprocessor(formulas::Formulas);
    book.build()?;
    let html = book.build_dir_for("html");
    let wasm = std::env::args_os().nth(1);
    live::write(
        folder.parent().context("book/ lies in the workspace")?,
        &html,
        wasm.as_deref().map(Path::new),
    )?;

    let mut problems = warnings.take();
    problems.extend(links::incomplete(&book));
    problems.extend(links::dead(&html)?);
    for problem in &problems {
        eprintln!("{problem}");
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
