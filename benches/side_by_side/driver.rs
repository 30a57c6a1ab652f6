//! Starts the sides and lets them run in turns.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use lowrank_benches::median;
use serde_json::Value;

use crate::Args;

const LAYERS: [(usize, usize, usize, usize, &str); 5] = [
    (256, 576, 576, 8, "f32"),
    (256, 1536, 576, 8, "f32"),
    (512, 2048, 2048, 16, "f32"),
    (256, 576, 576, 8, "f64"),
    (512, 2048, 2048, 16, "f64"),
];

/// Threads of a BLAS may spin for a while after the work is done and slow the next side down.
const PAUSE: Duration = Duration::from_millis(30);

pub fn drive(args: &Args) -> Result<()> {
    let runs = args.runs.max(3);
    let mut rows = Vec::new();
    for (tokens, out, inputs, rank, dtype) in LAYERS {
        let name = format!("layer {tokens}x{out}x{inputs} r={rank} {dtype}");
        if !name.contains(&args.only) {
            continue;
        }
        let options = [
            ("--tokens", tokens.to_string()),
            ("--out", out.to_string()),
            ("--in", inputs.to_string()),
            ("--rank", rank.to_string()),
            ("--dtype", dtype.to_owned()),
        ];
        let sides = start(args, ["layer-floor", "layer"], "lora_layer.py", &options)?;
        // A layer takes milliseconds: more runs cost nothing.
        rows.push(in_turns(name, sides, 10 * runs)?);
    }
    let name = "SmolLM2-135M step, LoRA r=8 on q,v, 192 tokens, f32";
    match &args.model {
        _ if !name.contains(&args.only) => {}
        Some(model) => {
            let options = [("--model", model.display().to_string())];
            let sides = start(args, ["step-floor", "step"], "smollm2_step.py", &options)?;
            rows.push(in_turns(name.to_owned(), sides, runs)?);
        }
        None => println!("SKIPPED the SmolLM2 step: give --model FILE.gguf"),
    }
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "",
        "floor ms",
        "ours ms",
        "PEFT ms",
        "ours / floor",
        "ours / PEFT",
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
        "Medians of runs taken in turns, {} threads each. The floor is the products with the frozen weights alone; \
         memory is each process's peak.",
        args.threads
    );
    Ok(())
}

/// The floor, ours and PEFT.
fn start(
    args: &Args,
    ours: [&str; 2],
    script: &str,
    options: &[(&str, String)],
) -> Result<[Side; 3]> {
    let threads = args.threads.to_string();
    let program = std::env::current_exe()?;
    let core = openblas::better_core(Command::new(&program).arg("--help"));
    let [floor, ours] = ours.map(|side| {
        let mut command = Command::new(&program);
        command.args(["--serve", side, "--threads", &threads]);
        // As `lowrank` sets them for itself: crates/cli/src/threads.rs.
        command.env("MALLOC_MMAP_THRESHOLD_", "4294967296");
        command.env("MALLOC_TRIM_THRESHOLD_", "4294967296");
        command.envs(core.map(|core| (openblas::CORE, core)));
        command.env("OPENBLAS_NUM_THREADS", "1");
        command
    });
    let mut peft = Command::new(&args.python);
    peft.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(script));
    peft.args(["--threads", &threads]);
    let side = |mut command: Command| {
        command.args(options.iter().flat_map(|(option, value)| [*option, value.as_str()]));
        Side::start(command)
    };
    Ok([side(floor)?, side(ours)?, side(peft)?])
}

/// A row of the table.
fn in_turns(name: String, mut sides: [Side; 3], runs: usize) -> Result<Vec<String>> {
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} {eta}")?;
    let bar = ProgressBar::new(runs as u64).with_style(style).with_message(name.clone());
    let mut seconds = [const { Vec::new() }; 3];
    for _ in 0..runs {
        for (side, seconds) in sides.iter_mut().zip(&mut seconds) {
            sleep(PAUSE);
            seconds.push(side.number("run", "seconds")?);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let [floor, ours, peft] = seconds.map(median);
    let [_, our_side, peft_side] = &mut sides;
    let our_bytes = our_side.number("quit", "peak_rss_bytes")?;
    let peft_bytes = peft_side.number("quit", "peak_rss_bytes")?;
    let ms = |seconds: f64| format!("{:.2}", 1e3 * seconds);
    let mib = |bytes: f64| format!("{:.0}", bytes / 1024.0 / 1024.0);
    let ratio = |one: f64, other: f64| format!("{:.2}", one / other);
    Ok(vec![
        name,
        ms(floor),
        ms(ours),
        ms(peft),
        ratio(ours, floor),
        ratio(ours, peft),
        mib(our_bytes),
        mib(peft_bytes),
        ratio(our_bytes, peft_bytes),
    ])
}

/// A process that answers each line with a JSON object.
struct Side {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    name: String,
}

impl Side {
    fn start(mut command: Command) -> Result<Self> {
        let name = format!("{command:?}");
        // An idle side must not spin: it would slow the other one down.
        command.env("OMP_WAIT_POLICY", "PASSIVE");
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
