//! Builds the book's pages: `cargo xtask book`. mdBook does it; here figures are numbered, excerpts get their path, references
//! become links and formulas MathML on the way, the experiments get what they load, what mdBook only warns of is an error, and
//! every link is followed to its end.
//!
//! `pages [FOLDER]`: the folder has `book/live` as `simd.wasm` and `plain.wasm`, which xtask builds.

mod excerpts;
mod figures;
mod formulas;
mod frame;
mod links;
mod live;
mod references;
mod typed;
mod warnings;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use mdbook_driver::MDBook;
use mdbook_driver::builtin_preprocessors::LinkPreprocessor;

fn main() -> Result<ExitCode> {
    let warnings = warnings::collect()?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut book = MDBook::load(folder).context("book/book.toml and book/src/SUMMARY.md")?;
    // In this order: what knows of files, what fills them in, what reads the whole.
    book.with_preprocessor(figures::Figures);
    book.with_preprocessor(excerpts::Excerpts);
    book.with_preprocessor(LinkPreprocessor::new());
    book.with_preprocessor(references::References);
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
    problems.extend(frame::problems(&book));
    problems.extend(typed::problems(&book));
    problems.extend(links::incomplete(&book));
    problems.extend(links::dead(&html)?);
    for problem in &problems {
        eprintln!("{problem}");
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
