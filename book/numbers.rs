//! Numbers in the sentences of a chapter: `[@n:KEY]` there, a line `KEY VALUE` in a file that `regen` makes.

use std::fmt::{Display, Write};

use anyhow::{Context, Result, ensure};

use crate::Page;

/// The file in book/src/generated.
pub const FILE: &str = "numbers.txt";

/// Numbers by their keys, as they are printed.
#[derive(Debug, Default)]
pub struct Numbers(String);

impl Numbers {
    /// One more.
    pub fn add(&mut self, key: &str, value: impl Display) {
        // Writing into a String cannot fail.
        let _ = writeln!(self.0, "{key} {value}");
    }

    /// The file.
    pub fn page(self) -> Page {
        Page::rounded(FILE, self.0)
    }
}

/// The keys of a file, and what stands in their place.
pub fn parse(file: &str) -> impl Iterator<Item = (&str, &str)> {
    file.lines().filter_map(|line| line.split_once(' '))
}

/// The smallest and the largest.
///
/// # Errors
/// There is none, or NaN is among them.
pub fn range(numbers: &[f64]) -> Result<[f64; 2]> {
    // `min` and `max` pass over it.
    ensure!(!numbers.iter().any(|number| number.is_nan()), "NaN is among {numbers:?}");
    let least = numbers.iter().copied().reduce(f64::min).context("no number")?;
    let most = numbers.iter().copied().reduce(f64::max).context("no number")?;
    Ok([least, most])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_read() {
        let mut numbers = Numbers::default();
        numbers.add("trained", "8,064");
        numbers.add("share", format!("{:.1}", 2.34));
        let page = numbers.page();
        assert_eq!(parse(&page.text).collect::<Vec<_>>(), [("trained", "8,064"), ("share", "2.3")]);
    }

    #[test]
    fn a_range_is_of_numbers_alone() {
        assert_eq!(range(&[2.0, 1.0, 3.0]).unwrap(), [1.0, 3.0]);
        assert!(range(&[2.0, f64::NAN]).is_err());
        assert!(range(&[]).is_err());
    }
}
