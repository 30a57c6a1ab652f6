//! `lowrank compare`: the same model, data and number of steps, one method after the other.

use std::path::PathBuf;
use std::time::Instant;

use adapter::Full;
use anyhow::{Context, Result};
use clap::Parser;
use llama::{Score, tiny};
use lora::Lora;
use serde_json::json;

use crate::finetune::{self, Data};
use crate::method::{Method, Name};
use crate::output::{self, Format};
use crate::plot::{self, Curve};
use crate::source::Words;
use crate::threads;

/// The options of `lowrank compare`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Methods to compare
    #[arg(long, value_delimiter = ',', default_values_t = [Name::Full, Name::Lora])]
    methods: Vec<Name>,
    /// Updates for each method
    #[arg(long, default_value_t = 400)]
    steps: usize,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads of OpenBLAS [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Folder for the plot, loss.svg
    #[arg(long, value_name = "DIR", default_value = "compare")]
    out: PathBuf,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// What became of one method.
struct Row {
    method: Name,
    trainable: usize,
    weight_bytes: usize,
    grad_bytes: usize,
    optimizer_bytes: usize,
    saved_bytes: usize,
    before: Score,
    after: Score,
    seconds: f64,
    losses: Vec<f64>,
}

/// `lowrank compare`.
pub fn main(args: &Args) -> Result<()> {
    let threads = threads::set(args.threads)?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("--out {}", args.out.display()))?;
    let mut rows = Vec::new();
    for &method in &args.methods {
        let row = match method {
            Name::Full => run::<Full>(args, method)?,
            Name::Lora => run::<Lora<f32>>(args, method)?,
        };
        if args.format == Format::Json {
            println!("{}", json(&row, threads));
        }
        rows.push(row);
    }
    let curve = |row: &Row| Curve { name: row.method.to_string(), losses: row.losses.clone() };
    let plot = args.out.join("loss.svg");
    plot::losses(
        &plot,
        "Sorting in reverse: training loss",
        &rows.iter().map(curve).collect::<Vec<_>>(),
    )?;
    if args.format == Format::Table {
        print(&rows, args.steps, threads);
        println!("loss curves: {}", plot.display());
    }
    Ok(())
}

fn run<M: Method<f32>>(args: &Args, method: Name) -> Result<Row> {
    let run = finetune::Args {
        method,
        steps: Some(args.steps),
        seed: args.seed,
        ..finetune::Args::try_parse_from(["compare"]).expect("every option has a default")
    };
    let data = Data::new(&run, &Words::Digits)?;
    let (mut trainer, _) = finetune::trainer::<f32, M>(&run, tiny::model()?)?;
    let score = |trainer: &llama::Trainer<f32, M>| {
        let score = data.evaluate(&trainer.model, &trainer.adapters)?;
        Ok::<_, anyhow::Error>(score.expect("the embedded task has held-out examples"))
    };
    let before = score(&trainer)?;
    let bar = output::progress(args.steps, &method.to_string());
    let (mut losses, mut grad_bytes, mut saved_bytes, mut seconds) = (Vec::new(), 0, 0, 0.0);
    while trainer.step < args.steps {
        let batches = data.batches(&run, trainer.step)?;
        let start = Instant::now();
        let report = trainer.step(&batches)?;
        seconds += start.elapsed().as_secs_f64();
        losses.push(report.loss);
        grad_bytes = grad_bytes.max(report.grad_bytes);
        saved_bytes = saved_bytes.max(report.saved_bytes);
        bar.inc(1);
        bar.set_message(format!("loss {:.4}", report.loss));
    }
    bar.finish_and_clear();
    let adapters = match M::TRAIN {
        llama::Train::Everything => 0,
        _ => trainer.trainable(),
    };
    Ok(Row {
        method,
        trainable: trainer.trainable(),
        weight_bytes: size_of::<f32>() * (trainer.model.parameters() + adapters),
        grad_bytes,
        optimizer_bytes: trainer.optimizer.bytes(),
        saved_bytes,
        before,
        after: score(&trainer)?,
        seconds,
        losses,
    })
}

fn json(row: &Row, threads: usize) -> serde_json::Value {
    let score = |score: Score| json!({"loss": score.loss, "exact": score.exact});
    json!({
        "method": row.method.to_string(),
        "trainable": row.trainable,
        "weight_bytes": row.weight_bytes,
        "gradient_bytes": row.grad_bytes,
        "optimizer_bytes": row.optimizer_bytes,
        "saved_bytes": row.saved_bytes,
        "before": score(row.before),
        "after": score(row.after),
        "seconds": row.seconds,
        "threads": threads,
        "losses": row.losses,
    })
}

fn print(rows: &[Row], steps: usize, threads: usize) {
    let header = [
        "method",
        "trained",
        "weights",
        "gradients",
        "optimizer",
        "saved",
        "loss",
        "→",
        "exact",
        "→",
        "seconds",
    ];
    let cells = |row: &Row| {
        vec![
            row.method.to_string(),
            output::count(row.trainable),
            output::bytes(row.weight_bytes),
            output::bytes(row.grad_bytes),
            output::bytes(row.optimizer_bytes),
            output::bytes(row.saved_bytes),
            format!("{:.3}", row.before.loss),
            format!("{:.4}", row.after.loss),
            output::percent(row.before.exact),
            output::percent(row.after.exact),
            format!("{:.1}", row.seconds),
        ]
    };
    println!("{}", output::table(&header, &rows.iter().map(cells).collect::<Vec<_>>()));
    println!(
        "The embedded model sorts 8 digits upwards; {steps} steps teach it to sort downwards. Loss and exact answers \
         on 1,000 held-out problems, before → after; \"saved\" is what a step keeps for its backward pass; \
         {threads} threads."
    );
}
