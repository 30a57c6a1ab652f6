//! The rows of a report: a JSON object a line, written the moment it is known.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// A line of the report.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "kebab-case")]
pub enum Row {
    /// A run begins.
    Run { date: String, device: String, budget: u64 },
    /// What it ran with: driver, libraries, torch, clocks.
    Versions(BTreeMap<String, String>),
    /// Whose products a part ran, each shape counted once; and of how many cuBLASLt said INVALID_VALUE.
    Plans { cublaslt: usize, cublas: usize, invalid: usize },
    /// A part ended.
    Part { part: String, verdict: Verdict, seconds: f64, detail: String },
    /// Something was checked.
    Check { check: String, dtype: String, passed: bool, seconds: f64, detail: String },
    /// Something was timed.
    Time(Time),
}

/// How a part ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    Pass,
    Fail,
    Panic,
    Timeout,
    /// By a signal, which it names.
    Killed,
    /// The program is not there.
    Missing,
    /// The tool around the part would not start it.
    Refused,
    /// It did not fit any more.
    NotRun,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Panic => "PANIC",
            Self::Timeout => "TIMEOUT",
            Self::Killed => "KILLED",
            Self::Missing => "MISSING",
            Self::Refused => "REFUSED",
            Self::NotRun => "NOT RUN",
        })
    }
}

/// Milliseconds of one thing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Time {
    /// `lowrank` or `peft`.
    pub implementation: String,
    /// A method, `base` for the two base products alone, or a product of LoRA's step.
    pub method: String,
    /// `eager`, `graph`, or PEFT's mode.
    pub mode: String,
    pub tokens: usize,
    pub out: usize,
    #[serde(rename = "in")]
    pub inputs: usize,
    pub rank: usize,
    pub dtype: String,
    pub ms: f64,
    /// As a multiple of the base products as a graph, timed in turns with it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub of_base: Option<f64>,
    /// The largest error of y and ∂L/∂x in units of their bounds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rho: Option<f64>,
}

impl Row {
    /// On standard output, where the supervisor reads it.
    pub fn print(&self) {
        println!("{}", serde_json::to_string(self).expect("a row has no map with other keys"));
    }
}

/// The rows of the last run in a file. A line that is none, such as the last one of a run that was killed, is left out.
pub fn read_last_run(file: &Path) -> Result<Vec<Row>> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let rows: Vec<Row> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let start = rows.iter().rposition(|row| matches!(row, Row::Run { .. })).unwrap_or(0);
    Ok(rows[start..].to_vec())
}
