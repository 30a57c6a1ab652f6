//! Starts both sides and lets them run in turns.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

const LAYERS: [(usize, usize, usize, usize, &str); 5] = [
    (256, 576, 576, 8, "f32"),
    (256, 1536, 576, 8, "f32"),
    (512, 2048, 2048, 16, "f32"),
    (256, 576, 576, 8, "f64"),
    (512, 2048, 2048, 16, "f64"),
];

pub fn drive(python: &Path, model: Option<&Path>, runs: usize, threads: usize) -> Result<()> {
    let runs = runs.max(3);
    let mut rows = Vec::new();
    let threads = threads.to_string();
    for (tokens, out, inputs, rank, dtype) in LAYERS {
        let options = [
            ("--tokens", tokens.to_string()),
            ("--out", out.to_string()),
            ("--in", inputs.to_string()),
            ("--rank", rank.to_string()),
            ("--dtype", dtype.to_owned()),
        ];
        let name = format!("layer {tokens}x{out}x{inputs} r={rank} {dtype}");
        // A layer takes milliseconds: more runs cost nothing.
        rows.push(duel(&name, python, "lora_layer.py", "layer", &options, 10 * runs, &threads)?);
    }
    match model {
        Some(model) => {
            let options = [("--model", model.display().to_string())];
            let name = "SmolLM2-135M step, LoRA r=8 on q,v, 192 tokens, f32";
            rows.push(duel(name, python, "smollm2_step.py", "step", &options, runs, &threads)?);
        }
        None => println!("SKIPPED the SmolLM2 step: give --model FILE.gguf"),
    }
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "",
        "ours ms",
        "PEFT ms",
        "time ratio",
        "ours MiB",
        "PEFT MiB",
        "memory ratio",
    ]);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    println!(
        "Medians of runs taken in turns, {threads} threads each; memory is each process's peak."
    );
    Ok(())
}

fn duel(
    name: &str,
    python: &Path,
    script: &str,
    side: &str,
    options: &[(&str, String)],
    runs: usize,
    threads: &str,
) -> Result<Vec<String>> {
    let mut ours = Command::new(std::env::current_exe()?);
    ours.args(["--serve", side]);
    let mut peft = Command::new(python);
    peft.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(script));
    peft.args(["--threads", threads]);
    for (option, value) in options {
        ours.args([option, value.as_str()]);
        peft.args([option, value.as_str()]);
    }
    let mut sides = [Side::start(ours, threads)?, Side::start(peft, threads)?];
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} {eta}")?;
    let bar = ProgressBar::new(runs as u64).with_style(style).with_message(name.to_owned());
    let mut seconds = [Vec::new(), Vec::new()];
    for _ in 0..runs {
        for (side, seconds) in sides.iter_mut().zip(&mut seconds) {
            seconds.push(side.number("run", "seconds")?);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let [ours, peft] = seconds.map(median);
    let [ours_bytes, peft_bytes] = {
        let [a, b] = &mut sides;
        [a.number("quit", "peak_rss_bytes")?, b.number("quit", "peak_rss_bytes")?]
    };
    let mib = |bytes: f64| format!("{:.0}", bytes / 1024.0 / 1024.0);
    Ok(vec![
        name.to_owned(),
        format!("{:.2}", 1e3 * ours),
        format!("{:.2}", 1e3 * peft),
        format!("{:.2}", ours / peft),
        mib(ours_bytes),
        mib(peft_bytes),
        format!("{:.2}", ours_bytes / peft_bytes),
    ])
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A process that answers each line with a JSON object.
struct Side {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    name: String,
}

impl Side {
    fn start(mut command: Command, threads: &str) -> Result<Self> {
        let name = format!("{command:?}");
        // An idle side must not spin: it would slow the other one down.
        command.env("OMP_WAIT_POLICY", "PASSIVE").env("OPENBLAS_NUM_THREADS", threads);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
        let input = child.stdin.take().context("its input")?;
        let output = BufReader::new(child.stdout.take().context("its output")?);
        let mut side = Self { child, input, output, name };
        if side.read()?["ready"] != Value::Bool(true) {
            bail!("{} did not become ready", side.name);
        }
        Ok(side)
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("{} stopped; its messages are above", self.name);
        }
        serde_json::from_str(&line).with_context(|| format!("{} said {line:?}", self.name))
    }

    fn number(&mut self, command: &str, field: &str) -> Result<f64> {
        writeln!(self.input, "{command}")?;
        let answer = self.read()?;
        answer[field].as_f64().with_context(|| format!("{} said {answer}", self.name))
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // Both calls fail only if it has ended by itself already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
