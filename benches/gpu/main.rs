//! `gpu-check`: the GPU path checked and timed, in parts. A part that fails, panics, hangs or loses the GPU is a line of the
//! report, and never its end.
//!
//! ```text
//! gpu-check run                  every part, each a process of its own, until the time is up
//! gpu-check part times …         one part; its rows on standard output
//! gpu-check report gpu.jsonl     the rows as tables
//! ```
//!
//! `cargo xtask gpu-check` packs it for a machine that has a GPU and no Rust; `--device emulated` rehearses it on the CPU.

mod checks;
mod clocks;
mod layers;
mod libraries;
mod part;
mod plan;
mod report;
mod row;
mod run;
mod supervise;
mod times;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

/// Check and time the GPU path of every method.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Every part, in the order of what matters, until the time is up.
    Run(run::Arguments),
    /// One part: a JSON object a line on standard output.
    Part {
        /// Where it runs.
        #[arg(long, value_enum, default_value_t = Where::Gpu, global = true)]
        device: Where,
        #[command(subcommand)]
        part: part::Part,
    },
    /// The last run of a file of rows, as Markdown.
    Report {
        /// What `run` wrote.
        file: PathBuf,
    },
}

/// A device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Where {
    /// A real one.
    Gpu,
    /// The CPU in its place: right numbers, and times that say nothing.
    Emulated,
}

impl Where {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::Emulated => "emulated",
        }
    }
}

fn main() -> ExitCode {
    match dispatch() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all went well.
fn dispatch() -> Result<bool> {
    match Arguments::parse().verb {
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Part { device, part } => part.run(device),
        Verb::Report { file } => {
            print!("{}", report::markdown(&row::read_last_run(&file)?));
            Ok(true)
        }
    }
}
