//! Runs that take minutes, as lines of JSON beside the pages that are made from them.
//!
//! A check trains a sample of them again, and takes the others from the file: a change that moves one run moves all.

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How many of the runs are made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Again {
    All,
    /// Those that the page says; the others are read.
    Sample,
    /// None that is kept: only the look of the pages has changed.
    None,
}

/// A line a run.
pub fn text<T: Serialize>(runs: &[T]) -> Result<String> {
    let lines: Vec<String> = runs.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    Ok(lines.join("\n") + "\n")
}

/// The runs of a file in book/src/generated.
pub fn read<T: DeserializeOwned>(name: &str) -> Result<Vec<T>> {
    let path = crate::generated().join(name);
    let shown = format!("book/src/generated/{name}");
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{shown} is missing: `cargo xtask regen` makes it"))?;
    let run = |line| serde_json::from_str(line).with_context(|| format!("{shown}: {line}"));
    text.lines().map(run).collect()
}

/// All runs of a file, in its order: those that were `made` now, and the others as they are kept.
pub fn complete<T: DeserializeOwned>(
    name: &str,
    made: Vec<T>,
    again: Again,
    same: impl Fn(&T, &T) -> bool,
) -> Result<Vec<T>> {
    if again == Again::All {
        return Ok(made);
    }
    let mut runs = read::<T>(name)?;
    for new in made {
        let kept = runs.iter_mut().find(|kept| same(kept, &new));
        let lacks =
            || format!("book/src/generated/{name} lacks a run: `cargo xtask regen` makes all");
        *kept.with_context(lacks)? = new;
    }
    Ok(runs)
}

/// The digits that are kept: another processor's BLAS changes later ones.
pub fn six_digits(number: f64) -> f64 {
    format!("{number:.5e}").parse().unwrap_or(number)
}
