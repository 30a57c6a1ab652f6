//! What a person sees: tables, sizes, progress.

use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// `println!`, but for a reader that has seen enough.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::output::say(format_args!("{}\n", format_args!($($text)*)))
    };
}

/// `eprintln!`, but nobody listening is no reason to die.
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

/// On standard output. Where nobody reads any more (`| head`) the work goes on: it may be writing files.
pub fn say(text: fmt::Arguments<'_>) {
    if let Err(error) = print(text) {
        tell!("error: standard output: {error}");
    }
}

/// On standard output, whose reader may have seen enough.
///
/// # Errors
/// It cannot be written to for another reason: a full disk.
pub fn print(text: fmt::Arguments<'_>) -> io::Result<()> {
    match io::stdout().write_fmt(text).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

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

/// The same without rules between the rows, for a long one.
pub fn lines(header: &[&str], rows: &[Vec<String>]) -> Table {
    let mut table = table(header, rows);
    table.load_style(presets::NOTHING);
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

/// Whether notes and progress are kept back: `--quiet`.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Keep notes and progress back from here on.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// A remark that stops nothing, on standard error.
pub fn note(text: fmt::Arguments<'_>) {
    if !QUIET.load(Ordering::Relaxed) {
        tell!("{text}");
    }
}

/// How far a long work is, on standard error: a bar on a terminal, elsewhere a line now and then.
pub struct Progress {
    bar: ProgressBar,
    lines: bool,
    started: Instant,
    /// After so many seconds.
    said: AtomicU64,
}

/// Seconds between two lines, where there is no terminal.
const PAUSE: u64 = 10;

impl Progress {
    /// Of a work of so many steps.
    pub fn new(steps: usize, label: &str) -> Self {
        let style =
            ProgressStyle::with_template("{prefix:>16} {bar:40} {pos}/{len} {eta:>4} {msg}")
                .expect("a valid template");
        let bar = ProgressBar::new(steps as u64).with_style(style).with_prefix(label.to_owned());
        let quiet = QUIET.load(Ordering::Relaxed);
        if quiet {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let lines = !quiet && !io::stderr().is_terminal();
        Self { bar, lines, started: Instant::now(), said: AtomicU64::new(0) }
    }

    /// One step more is done.
    pub fn advance(&self, message: String) {
        self.set(self.bar.position() + 1, message);
    }

    /// So many steps are done.
    pub fn set(&self, done: u64, message: String) {
        self.bar.set_position(done);
        let now = self.started.elapsed().as_secs();
        if self.lines && now >= self.said.load(Ordering::Relaxed) + PAUSE {
            self.said.store(now, Ordering::Relaxed);
            let (all, left) = (self.bar.length().unwrap_or(0), self.bar.eta().as_secs());
            tell!("{}: {done} of {all}, {left} s left. {message}", self.bar.prefix());
        }
        self.bar.set_message(message);
    }

    /// How many steps there are, where that is known only later.
    pub fn set_length(&self, steps: u64) {
        self.bar.set_length(steps);
    }

    /// Away with the bar.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// The largest amount of memory this process has held, where the system tells (Linux).
pub fn peak_rss_bytes() -> Option<usize> {
    kernel_bytes("/proc/self/status", "VmHWM:")
}

/// The memory that a program can still have without others giving theirs up, where the system tells (Linux).
pub fn available_bytes() -> Option<usize> {
    kernel_bytes("/proc/meminfo", "MemAvailable:")
}

/// A line such as `VmHWM:    1024 kB`.
fn kernel_bytes(file: &str, field: &str) -> Option<usize> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
