//! The embedded model learns to sort the other way round: in full, and with LoRA of several ranks.
//!
//! In f64, so that the rounding of one processor's BLAS against another's does not reach the digits printed.

use std::fmt::Write;
use std::thread::scope;

use adapter::{AdamVariant, AdamW, Adapter, Decay, Full, Group, Real, Schedule};
use anyhow::{Result, anyhow};
use indicatif::{BinaryBytes, HumanCount, ProgressBar};
use llama::data::{Dataset, Example};
use llama::random::{Purpose, random};
use llama::tiny::{self, Task};
use llama::{Adapters, Llama, Projection, Report, Score, Settings, Train, Trainer};
use lora::{Init, Lora, Scaling};
use rank::Svd;
use serde::{Deserialize, Serialize};

use crate::recorded::{self, Again};
use book::figure::{Chart, Line, figure};
use book::{Page, parallel};

// Steps, batch and LoRA's rate are those of `lowrank compare`. Its sweep has full fine-tuning at 0.003, half-decades apart.
const STEPS: usize = 400;
const BATCH: usize = 32;
pub const FULL_RATE: f64 = 2e-3;
pub const LORA_RATE: f64 = 1e-2;
const RANK: usize = 8;
const TARGETS: [Projection; 2] = [Projection::Q, Projection::V];

const RUNS: &str = "tiny-ranks.jsonl";

/// What the pages show of a run, to six digits.
#[derive(Clone, Serialize, Deserialize)]
struct Run {
    /// LoRA's rank; none in full fine-tuning.
    rank: Option<usize>,
    trainable: usize,
    held_out_loss: f64,
    exact: f64,
    /// Before each update.
    losses: Vec<f64>,
}

impl Run {
    fn name(&self) -> String {
        self.rank.map_or("full".into(), |rank| format!("LoRA, r = {rank}"))
    }
}

/// A sample is full fine-tuning, whose model other pages look into, and one rank.
pub fn pages(again: Again) -> Result<Vec<Page>> {
    let held_out = Task::Descending.examples(1000, &mut random(0, Purpose::Problems, 2));
    let before = tiny::model::<f64>()?.evaluate(&Adapters::<Full>::none(), &held_out)?;
    let ranks = match again {
        Again::All => vec![1, 2, 4, RANK, 16],
        Again::Sample => vec![RANK],
        Again::None => Vec::new(),
    };
    let bar = ProgressBar::new((STEPS * (1 + ranks.len())) as u64);

    let everything = Adapters::full(&tiny::config());
    let (full, loras) = scope(|scope| {
        let full = scope.spawn(|| {
            run::<Full>(None, trainer(Train::Everything, FULL_RATE, everything)?, &held_out, &bar)
        });
        let loras = parallel::map(ranks, |rank| {
            let trainer = trainer(Train::Adapters, LORA_RATE, lora(rank)?)?;
            Ok(run(Some(rank), trainer, &held_out, &bar)?.0)
        });
        (full.join(), loras)
    });
    let (full, model) = full.map_err(|_| anyhow!("full fine-tuning panicked"))??;
    let mut made = loras?;
    made.push(full);
    bar.finish_and_clear();
    let runs = recorded::complete(RUNS, made, again, |a: &Run, b| a.rank == b.rank)?;

    Ok(vec![
        Page::rounded(RUNS, recorded::text(&runs)?),
        Page::exact("tiny-bytes.md", bytes()?),
        Page::rounded("tiny-ranks.md", ranks_table(before, &runs)?),
        Page::rounded("tiny-losses.svg.html", losses(&runs)),
        Page::rounded("tiny-change.md", change_table(&model)?),
        Page::rounded("tiny-change.svg.html", change_figure(&model)?),
        Page::rounded("tiny-truncated.md", truncated(&model, &held_out)?),
    ])
}

fn lora<T: Real>(rank: usize) -> Result<Adapters<Lora<T>>> {
    let mut rng = random(0, Purpose::Adapters, 0);
    let new = |_, shape| {
        let alpha = 2.0 * rank as f64;
        Lora::init(shape, rank, alpha, Scaling::AlphaOverR, Init::default(), &mut rng)
    };
    Ok(Adapters::on(&tiny::config(), &TARGETS, new)?)
}

fn trainer<T: Real, A: Adapter<T>>(
    train: Train,
    lr: f64,
    adapters: Adapters<A>,
) -> Result<Trainer<T, A>> {
    let adamw = AdamW::new(Group { lr, weight_decay: 0.0 }, AdamVariant::Torch);
    let schedule = Schedule::new(Decay::Cosine, 0, STEPS)?;
    let settings = Settings { train, schedule, clip: None, dropout: 0.0, seed: 0 };
    Ok(Trainer::new(tiny::model()?, adapters, Box::new(adamw), settings)?)
}

fn data() -> Result<Dataset> {
    let problems = Task::Descending.examples(STEPS * BATCH, &mut random(0, Purpose::Problems, 0));
    Ok(Dataset::new(problems, Some(0))?)
}

/// A run, and the model that it leaves.
fn run<A: Adapter<f64>>(
    rank: Option<usize>,
    mut trainer: Trainer<f64, A>,
    held_out: &[Example],
    bar: &ProgressBar,
) -> Result<(Run, Llama<f64>)> {
    let (data, digits) = (data()?, recorded::six_digits);
    let mut losses = Vec::new();
    while trainer.step < STEPS {
        let report = trainer.step(&[data.batch(trainer.step * BATCH, BATCH)?])?;
        losses.push(digits(report.loss));
        bar.inc(1);
    }
    let score = trainer.model.evaluate(&trainer.adapters, held_out)?;
    let run = Run {
        rank,
        trainable: trainer.trainable(),
        held_out_loss: digits(score.loss),
        exact: digits(score.exact),
        losses,
    };
    Ok((run, trainer.model))
}

/// Bytes by kind, of one step in f32.
fn bytes() -> Result<String> {
    let mut table = String::from(
        "| | trained | weights | gradients | optimiser | saved for backward |\n|---|--:|--:|--:|--:|--:|\n",
    );
    let batch = data()?.batch(0, BATCH)?;
    let mut row = |name, weights: usize, trained: usize, report: Report, optimizer: usize| {
        writeln!(
            table,
            "| {name} | {} | {} | {} | {} | {} |",
            HumanCount(trained as u64),
            BinaryBytes(4 * weights as u64),
            BinaryBytes(report.grad_bytes as u64),
            BinaryBytes(optimizer as u64),
            BinaryBytes(report.saved_bytes as u64),
        )
    };
    let mut trainer_full =
        trainer::<f32, _>(Train::Everything, FULL_RATE, Adapters::full(&tiny::config()))?;
    let report = trainer_full.step(std::slice::from_ref(&batch))?;
    let weights = trainer_full.model.parameters();
    row("full", weights, trainer_full.trainable(), report, trainer_full.optimizer_bytes())?;
    let mut trainer = trainer::<f32, _>(Train::Adapters, LORA_RATE, lora(RANK)?)?;
    let report = trainer.step(&[batch])?;
    let trained = trainer.trainable();
    row("LoRA, r = 8 on q and v", weights + trained, trained, report, trainer.optimizer_bytes())?;
    Ok(table)
}

fn ranks_table(before: Score, runs: &[Run]) -> Result<String> {
    let mut table =
        String::from("| | trained | held-out loss | exact answers |\n|---|--:|--:|--:|\n");
    let mut row = |name: String, trained: usize, loss: f64, exact: f64| {
        let (trained, exact) = (HumanCount(trained as u64), 100.0 * exact);
        writeln!(table, "| {name} | {trained} | {loss:.4} | {exact:.1}% |")
    };
    row("before".into(), 0, before.loss, before.exact)?;
    for run in runs {
        row(run.name(), run.trainable, run.held_out_loss, run.exact)?;
    }
    Ok(table)
}

fn losses(runs: &[Run]) -> String {
    let line = |run: &Run| {
        let mean = |window: &[f64]| window.iter().sum::<f64>() / window.len() as f64;
        let smooth = run.losses.windows(10).map(mean).enumerate();
        Line { name: run.name(), points: smooth.map(|(i, loss)| ((i + 10) as f64, loss)).collect() }
    };
    let chart = Chart {
        title: "Training loss".into(),
        axes: ["step".into(), "mean of 10 steps".into()],
        ranges: [0.0..STEPS as f64, 1e-3..10.0],
        log: true,
        square: false,
        lines: runs.iter().map(line).collect(),
    };
    let caption = "The tiny model learns to sort downwards: the higher the rank, the nearer to full fine-tuning, and rank 1 is not enough.";
    figure("tiny-losses", caption, &[chart])
}

/// What full fine-tuning changed one projection by.
fn change(model: &Llama<f64>, layer: usize, projection: Projection) -> Result<Svd> {
    let start = tiny::model::<f64>()?;
    let delta = model.layers[layer].weight(projection) - start.layers[layer].weight(projection);
    Ok(rank::svd(delta.view())?)
}

fn change_table(model: &Llama<f64>) -> Result<String> {
    let mut table = String::from(
        "| $\\Delta W$ of layer 1 | shape | norm, relative to W | effective rank | error of rank 1 | rank 4 | rank 8 | rank 16 |\n\
         |---|---|--:|--:|--:|--:|--:|--:|\n",
    );
    let start = tiny::model::<f64>()?;
    for projection in Projection::ALL {
        let svd = change(model, 1, projection)?;
        let norm = svd.frobenius_norm();
        let weight = start.layers[1].weight(projection);
        let of_weight = weight.iter().map(|w| w * w).sum::<f64>().sqrt();
        write!(
            table,
            "| `{projection}` | `[{}, {}]` | {:.3} | {:.1} |",
            weight.nrows(),
            weight.ncols(),
            norm / of_weight,
            svd.effective_rank()
        )?;
        for k in [1, 4, 8, 16] {
            write!(table, " {:.1}% |", 100.0 * svd.truncate(k)?.frobenius_error / norm)?;
        }
        table.push('\n');
    }
    Ok(table)
}

fn change_figure(model: &Llama<f64>) -> Result<String> {
    let start = tiny::model::<f64>()?;
    let line = |name: &str, svd: &Svd| {
        let relative = svd.s.iter().map(|sigma| sigma / svd.s[0]);
        Line {
            name: name.into(),
            points: relative.enumerate().map(|(i, s)| (i as f64 + 1.0, s)).collect(),
        }
    };
    let chart = |projection: Projection| -> Result<Chart> {
        let weight = rank::svd(start.layers[1].weight(projection).view())?;
        Ok(Chart {
            title: format!("{projection} of layer 1"),
            axes: ["number of the singular value".into(), "σ / σ₁".into()],
            ranges: [0.0..weight.s.len() as f64, 1e-3..1.5],
            log: true,
            square: false,
            lines: vec![
                line("W, before", &weight),
                line("ΔW of full fine-tuning", &change(model, 1, projection)?),
            ],
        })
    };
    let charts = [chart(Projection::Q)?, chart(Projection::Down)?];
    let caption = "The change that full fine-tuning makes falls off faster than the weight it changes, and has no step either at which one could cut.";
    Ok(figure("tiny-change", caption, &charts))
}

/// Full fine-tuning's result with the change of every projection cut to its best rank k.
fn truncated(model: &Llama<f64>, held_out: &[Example]) -> Result<String> {
    let mut table = String::from(
        "| rank kept of each $\\Delta W$ | held-out loss | exact answers |\n|--:|--:|--:|\n",
    );
    for k in [0, 1, 2, 4, 8, 16, 32] {
        let mut cut = model.clone();
        let start = tiny::model::<f64>()?;
        for (layer, start) in start.layers.iter().enumerate() {
            for projection in Projection::ALL {
                let kept = change(model, layer, projection)?.truncate(k)?.matrix;
                *cut.layers[layer].weight_mut(projection) = start.weight(projection) + &kept;
            }
        }
        let score = cut.evaluate(&Adapters::<Full>::none(), held_out)?;
        writeln!(table, "| {k} | {:.4} | {:.1}% |", score.loss, 100.0 * score.exact)?;
    }
    Ok(table)
}
