//! What a run says of each step, as lines of JSON: on standard output for a program that reads along, and in the run's
//! folder for a plot.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use llama::Score;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, Step};

/// The log's name in a run's folder.
pub const LOG: &str = "log.jsonl";

/// A line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The step's number, from 0.
    pub step: usize,
    /// Mean loss over the step's predictions, before its update.
    pub loss: f64,
    /// Norm of the gradient, before clipping.
    pub grad_norm: f64,
    /// The learning rate of the update.
    pub lr: f64,
    /// How long the step took.
    pub seconds: f64,
    /// Tokens read, prompts included, by the second.
    pub tokens_per_second: f64,
    /// On held-out examples, after the update, if it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<Score>,
}

impl Entry {
    /// Of a step, and what was measured after it.
    pub fn new(step: &Step, held_out: Option<Score>) -> Self {
        let Step { report, lr, tokens, seconds } = *step;
        Self {
            step: report.step,
            loss: report.loss,
            grad_norm: report.grad_norm,
            lr,
            seconds,
            tokens_per_second: tokens as f64 / seconds,
            held_out,
        }
    }

    /// All lines of the log in a run's folder; none if there is no log.
    ///
    /// # Errors
    /// It cannot be read, or a line is not one of a log.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>> {
        let path = folder.join(LOG);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(Error::Io { path, source }),
        };
        let mut entries = Vec::new();
        let lines: Vec<String> = BufReader::new(file)
            .lines()
            .collect::<std::io::Result<_>>()
            .map_err(|source| Error::Io { path: path.clone(), source })?;
        for (i, line) in lines.iter().enumerate() {
            match serde_json::from_str(line) {
                Ok(entry) => entries.push(entry),
                // The power went while it was written.
                Err(_) if i + 1 == lines.len() => {}
                Err(error) => {
                    return Err(Error::File { path, reason: format!("line {}: {error}", i + 1) });
                }
            }
        }
        Ok(entries)
    }

    /// As a line.
    pub fn line(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }
}

/// A log that grows.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// The log of a folder, to go on at its end.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn append(folder: &Path) -> Result<Self> {
        let path = folder.join(LOG);
        let file = File::options().append(true).create(true).open(&path);
        let file = file.map_err(|source| Error::Io { path: path.clone(), source })?;
        Ok(Self { path, file })
    }

    /// One more line.
    ///
    /// # Errors
    /// The disk is full.
    pub fn write(&mut self, entry: &Entry) -> Result<()> {
        let line = entry.line() + "\n";
        let written = self.file.write_all(line.as_bytes());
        written.map_err(|source| Error::Io { path: self.path.clone(), source })
    }
}
