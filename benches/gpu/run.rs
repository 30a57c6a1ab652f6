//! A run: part after part until the time is up, every row on disk the moment it is known.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;

use super::libraries::{DEFAULT, Libraries, candidates};
use super::plan::{Job, Program, jobs, versions, with_mishaps};
use super::row::{Row, Verdict, read_last_run};
use super::supervise::{Ended, limited, run as supervise};
use super::{Where, clocks, report};

#[derive(Args)]
pub struct Arguments {
    /// Seconds: parts that do not fit any more are listed as NOT RUN.
    #[arg(long, default_value_t = 540)]
    budget: u64,
    /// Where it runs.
    #[arg(long, value_enum, default_value_t = Where::Gpu)]
    device: Where,
    /// A Python with torch and peft: they run in the same run, with the same libraries.
    #[arg(long, env = "PYTHON", default_value = "python3")]
    python: String,
    /// Where the rows are appended; their tables lie beside it as Markdown.
    #[arg(long, default_value = "gpu.jsonl")]
    out: PathBuf,
    /// Add a part that panics, one that hangs and one that does not fit.
    #[arg(long)]
    rehearse: bool,
}

struct Run<'a> {
    arguments: &'a Arguments,
    end: Instant,
    file: File,
    failed: bool,
}

/// Whether every part passed.
pub fn run(arguments: &Arguments) -> Result<bool> {
    let file = OpenOptions::new().create(true).append(true).open(&arguments.out);
    let file = file.with_context(|| format!("cannot write {}", arguments.out.display()))?;
    let end = Instant::now() + Duration::from_secs(arguments.budget);
    let mut run = Run { arguments, end, file, failed: false };
    let date = first_line(Command::new("date").arg("--iso-8601=seconds")).unwrap_or_default();
    let (device, budget) = (arguments.device.name().to_owned(), arguments.budget);
    run.add(&Row::Run { date, device, budget });
    let wait = || {
        std::thread::sleep(Duration::from_millis(10));
        Ok(())
    };
    if let Some(row) = clocks::ask("idle", wait)? {
        run.add(&row);
    }
    let libraries = run.libraries();
    let jobs = jobs(arguments.device);
    for job in if arguments.rehearse { with_mishaps(jobs) } else { jobs } {
        run.part(&job, &libraries);
    }
    let tables = report::markdown(&read_last_run(&arguments.out)?);
    println!("\n{tables}");
    let beside = arguments.out.with_extension("md");
    std::fs::write(&beside, tables)
        .with_context(|| format!("cannot write {}", beside.display()))?;
    Ok(!run.failed)
}

fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(|line| line.trim().to_owned())
}

impl Run<'_> {
    /// On disk and on the screen. A disk that is full is no reason to stop what can still be seen.
    fn add(&mut self, row: &Row) {
        let line = serde_json::to_string(row).expect("a row has no map with other keys");
        println!("{line}");
        if let Err(error) = writeln!(self.file, "{line}").and_then(|()| self.file.sync_data()) {
            eprintln!("error: this row is not on disk: {error}");
        }
    }

    fn left(&self) -> u64 {
        self.end.saturating_duration_since(Instant::now()).as_secs()
    }

    /// The first libraries with which the first part passes.
    fn libraries(&mut self) -> Libraries {
        let candidates = match self.arguments.device {
            Where::Gpu => candidates(&self.arguments.python),
            Where::Emulated => vec![DEFAULT],
        };
        for libraries in &candidates {
            if self.works(libraries) {
                // What did not work before does not count.
                self.failed = false;
                return libraries.clone();
            }
        }
        DEFAULT
    }

    /// Whether the first part passes with these. One that was too late has another try: what it read is in memory now.
    fn works(&mut self, libraries: &Libraries) -> bool {
        let mut verdict = Verdict::Timeout;
        for again in ["", ", again"] {
            if verdict == Verdict::Timeout {
                let job = versions();
                let name = format!("{} ({}{again})", job.name, libraries.name);
                verdict = self.part(&Job { name, ..job }, libraries);
            }
        }
        verdict == Verdict::Pass
    }

    fn part(&mut self, job: &Job, libraries: &Libraries) -> Verdict {
        let left = self.left();
        let ended = if left < job.expected.max(1) {
            let detail = format!("{left} s are left, about {} are needed", job.expected);
            Ended { verdict: Verdict::NotRun, seconds: 0.0, detail }
        } else {
            eprintln!("--- {}", job.name);
            let limit = job.limit.min(left);
            let mut command = self.command(job, limit);
            if let Some(path) = libraries.path() {
                command.env("LD_LIBRARY_PATH", path);
            }
            let tool = matches!(job.program, Program::Sanitized(..));
            supervise(&mut command, limit, tool, |row| self.add(&row))
        };
        let Ended { verdict, seconds, detail } = ended;
        self.failed |= ![Verdict::Pass, Verdict::NotRun].contains(&verdict);
        self.add(&Row::Part { part: job.name.clone(), verdict, seconds, detail });
        verdict
    }

    fn command(&self, job: &Job, limit: u64) -> Command {
        let own = std::env::current_exe().unwrap_or_else(|_| "./gpu-check".into());
        let own = own.to_string_lossy().into_owned();
        let device = ["--device", self.arguments.device.name()];
        let mut command = match &job.program {
            Program::Ours(arguments) => {
                let mut command = limited(limit, &own);
                command.arg("part").args(device).args(arguments);
                command
            }
            Program::Sanitized(tool, arguments) => {
                let mut command = limited(limit, "compute-sanitizer");
                command.args(["--tool", tool, "--error-exitcode", "3"]);
                command.arg(&own).arg("part").args(device).args(arguments);
                command
            }
            Program::Peft(arguments) => {
                let mut command = limited(limit, &self.arguments.python);
                command.arg(Path::new("peft_layer.py")).args(arguments);
                command
            }
        };
        // A reader of the report wants the line that names the mistake, and the rows as they come.
        command.env("RUST_BACKTRACE", "0").env("PYTHONUNBUFFERED", "1");
        // compute-sanitizer is not always on the path of a machine that has CUDA.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/local/cuda/bin"));
        command
    }
}
