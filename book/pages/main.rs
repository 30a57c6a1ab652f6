//! Builds the book's pages: `cargo xtask book`. mdBook does it; here formulas become MathML on the way, what mdBook only
//! warns of is an error, and every link is followed to its end.

mod formulas;
mod links;
mod warnings;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use mdbook_driver::MDBook;

fn main() -> Result<ExitCode> {
    let warnings = warnings::collect()?;
    let book = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut book = MDBook::load(book).context("book/book.toml and book/src/SUMMARY.md")?;
    book.with_preprocessor(formulas::Formulas);
    book.build()?;

    let mut problems = warnings.take();
    problems.extend(links::incomplete(&book));
    problems.extend(links::dead(&book.build_dir_for("html"))?);
    for problem in &problems {
        eprintln!("{problem}");
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
