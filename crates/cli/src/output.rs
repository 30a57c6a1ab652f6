//! What a person sees: tables, sizes, progress.

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};

/// A table for a person, or JSON lines for a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For a person.
    #[default]
    Table,
    /// One JSON object a line.
    Json,
}

/// A table whose first column is text and whose others are numbers.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// 1234567 → `1,234,567`.
pub fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// 0.1234 → `12.3%`.
pub fn percent(fraction: f64) -> String {
    format!("{:.1}%", 100.0 * fraction)
}

/// Bytes in the unit a person would choose.
pub fn bytes(bytes: usize) -> String {
    indicatif::BinaryBytes(bytes as u64).to_string()
}

/// A bar on standard error; silent when that is not a terminal.
pub fn progress(steps: usize, label: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>16} {bar:40} {pos}/{len} {eta:>4} {msg}")
        .expect("a valid template");
    ProgressBar::new(steps as u64).with_style(style).with_prefix(label.to_owned())
}

/// The largest amount of memory this process has held, where the system tells (Linux).
pub fn peak_rss_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
