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

use crate::figure::{Chart, Line, figure};
use book::{Page, parallel};

// Steps, batch and LoRA's rate are those of `lowrank compare`. Its sweep has full fine-tuning at 0.003, half-decades apart.
const STEPS: usize = 400;
const BATCH: usize = 32;
const FULL_RATE: f64 = 2e-3;
const LORA_RATE: f64 = 1e-2;
const RANK: usize = 8;
const TARGETS: [Projection; 2] = [Projection::Q, Projection::V];

struct Run<A> {
    trainer: Trainer<f64, A>,
    losses: Vec<f64>,
    score: Score,
}

pub fn pages() -> Result<Vec<Page>> {
    let held_out = Task::Descending.examples(1000, &mut random(0, Purpose::Problems, 2));
    let before = tiny::model::<f64>()?.evaluate(&Adapters::<Full>::none(), &held_out)?;
    let ranks = [1, 2, 4, RANK, 16];
    let bar = ProgressBar::new((STEPS * (1 + ranks.len())) as u64);

    let everything = Adapters::full(&tiny::config());
    let (full, sweep) = scope(|scope| {
        let full =
            scope.spawn(|| run::<Full>(Train::Everything, FULL_RATE, everything, &held_out, &bar));
        let sweep = parallel::map(ranks.to_vec(), |rank| {
            Ok((rank, run(Train::Adapters, LORA_RATE, lora(rank)?, &held_out, &bar)?))
        });
        (full.join(), sweep)
    });
    let full = full.map_err(|_| anyhow!("full fine-tuning panicked"))??;
    let sweep = sweep?;
    bar.finish_and_clear();

    Ok(vec![
        Page::exact("tiny-bytes.md", bytes()?),
        Page::rounded("tiny-ranks.md", ranks_table(before, &full, &sweep)?),
        Page::rounded("tiny-losses.svg.html", losses(&full, &sweep)),
        Page::rounded("tiny-change.md", change_table(&full.trainer.model)?),
        Page::rounded("tiny-change.svg.html", change_figure(&full.trainer.model)?),
        Page::rounded("tiny-truncated.md", truncated(&full.trainer.model, &held_out)?),
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

fn run<A: Adapter<f64>>(
    train: Train,
    lr: f64,
    adapters: Adapters<A>,
    held_out: &[Example],
    bar: &ProgressBar,
) -> Result<Run<A>> {
    let (data, mut trainer) = (data()?, trainer(train, lr, adapters)?);
    let mut losses = Vec::new();
    while trainer.step < STEPS {
        losses.push(trainer.step(&[data.batch(trainer.step * BATCH, BATCH)?])?.loss);
        bar.inc(1);
    }
    let score = trainer.model.evaluate(&trainer.adapters, held_out)?;
    Ok(Run { trainer, losses, score })
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

fn ranks_table(
    before: Score,
    full: &Run<Full>,
    sweep: &[(usize, Run<Lora<f64>>)],
) -> Result<String> {
    let mut table =
        String::from("| | trained | held-out loss | exact answers |\n|---|--:|--:|--:|\n");
    let mut row = |name: String, trained: usize, score: Score| {
        let exact = 100.0 * score.exact;
        let trained = HumanCount(trained as u64);
        writeln!(table, "| {name} | {trained} | {:.4} | {exact:.1}% |", score.loss)
    };
    row("before".into(), 0, before)?;
    for (rank, run) in sweep {
        row(format!("LoRA, r = {rank}"), run.trainer.trainable(), run.score)?;
    }
    row("full".into(), full.trainer.trainable(), full.score)?;
    Ok(table)
}

fn losses(full: &Run<Full>, sweep: &[(usize, Run<Lora<f64>>)]) -> String {
    let line = |name: String, losses: &[f64]| {
        let mean = |window: &[f64]| window.iter().sum::<f64>() / window.len() as f64;
        let points =
            losses.windows(10).map(mean).enumerate().map(|(i, loss)| ((i + 10) as f64, loss));
        Line { name, points: points.collect() }
    };
    let lora = sweep.iter().map(|(rank, run)| line(format!("LoRA, r = {rank}"), &run.losses));
    let chart = Chart {
        title: "Training loss".into(),
        axes: ["step".into(), "mean of 10 steps".into()],
        ranges: [0.0..STEPS as f64, 1e-3..10.0],
        log: true,
        square: false,
        lines: lora.chain([line("full".into(), &full.losses)]).collect(),
    };
    let caption = "The embedded model learns to sort downwards: the higher the rank, the nearer to full fine-tuning, and rank 1 is not enough. \
                   Drawn by <code>cargo xtask regen</code>.";
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
    let caption = "The change that full fine-tuning makes falls off faster than the weight it changes. \
                   Drawn by <code>cargo xtask regen</code>.";
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
