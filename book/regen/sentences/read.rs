//! Tables and outputs that stand in the chapters, read again: a sentence about a table takes its numbers from there.

use anyhow::{Context, Result};

/// A file in book/src/generated.
pub fn text(name: &str) -> Result<String> {
    let path = crate::generated().join(name);
    std::fs::read_to_string(path).with_context(|| {
        format!("book/src/generated/{name} is missing: `cargo xtask regen` makes it")
    })
}

/// The number that a cell or a word begins with, without signs around it.
pub fn number(cell: &str) -> Option<f64> {
    let cell = cell.trim_matches(['*', '`', '[', ']', '%', ' ']).replace(',', "");
    cell.split(['%', ' ', '\u{a0}']).next()?.parse().ok()
}

/// The number that stands after some words.
pub fn after(text: &str, words: &str) -> Result<f64> {
    let rest = text.split_once(words).with_context(|| format!("it does not say {words:?}"))?.1;
    let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    rest[..length].parse().with_context(|| format!("no number comes after {words:?}"))
}

/// A table in Markdown.
pub struct Table {
    name: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// The table of a file.
    pub fn of(name: &str) -> Result<Self> {
        let text = text(name)?;
        let cells = |line: &str| -> Vec<String> {
            let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
            inner.split('|').map(|cell| cell.trim().to_owned()).collect()
        };
        let mut lines = text.lines();
        let head = cells(lines.next().with_context(|| format!("{name} is empty"))?);
        // Below the head stands the rule.
        Ok(Self { name: name.to_owned(), head, rows: lines.skip(1).map(cells).collect() })
    }

    fn place(&self, column: &str) -> Result<usize> {
        let place = self.head.iter().position(|head| head == column);
        place.with_context(|| format!("{} has no column {column:?}", self.name))
    }

    /// The number in a column of the first row that begins with this.
    pub fn number(&self, row: &str, column: &str) -> Result<f64> {
        let is = |cells: &&Vec<String>| cells[0].trim_matches('`') == row;
        let cells = self.rows.iter().find(is);
        let cells = cells.with_context(|| format!("{} has no row {row:?}", self.name))?;
        number(&cells[self.place(column)?])
            .with_context(|| format!("{}, {row:?}, {column:?}: there is no number", self.name))
    }

    /// The numbers of a column, one for each row that `wanted` takes by its first cell.
    pub fn column(&self, column: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<f64>> {
        let place = self.place(column)?;
        let rows = self.rows.iter().filter(|cells| wanted(&cells[0]));
        let numbers = rows.map(|cells| number(&cells[place]));
        numbers.collect::<Option<_>>().with_context(|| format!("{}, {column:?}", self.name))
    }

    /// The numbers of a row, without its name; cells that are empty are left out.
    pub fn row(&self, row: &str) -> Result<Vec<f64>> {
        let cells = self.rows.iter().find(|cells| cells[0] == row);
        let cells = cells.with_context(|| format!("{} has no row {row:?}", self.name))?;
        Ok(cells[1..].iter().filter_map(|cell| number(cell)).collect())
    }
}
