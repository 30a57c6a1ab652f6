//! The real model: what book/data/story.py recorded, as tables and figures. Nothing is trained here.

use std::fmt::Write;

use anyhow::{Context, Result};
use finetune::{Spread, Sweep};
use indicatif::HumanCount;
use llama::Score;
use methods::Row;
use picture::{Bars, Panel};
use serde::Deserialize;

use crate::recorded;
use book::Page;
use book::figure::{Chart, Line, figure};

/// A line of the file.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Recorded {
    About(About),
    Sweep(Trials),
    Run(Run),
    Answer(Answer),
}

#[derive(Deserialize)]
pub struct About {
    date: String,
    processor: String,
    pub steps: usize,
    pub rows: usize,
    lora_lr: f64,
}

#[derive(Deserialize)]
struct Trials {
    method: String,
    trials: Vec<finetune::Trial>,
}

#[derive(Deserialize)]
struct Run {
    method: String,
    lr: f64,
    trainable: usize,
    before: Score,
    after: Score,
    losses: Vec<f64>,
}

#[derive(Deserialize)]
struct Answer {
    text: String,
    before: String,
    after: String,
}

/// What the file says of its runs.
pub fn about() -> Result<About> {
    let lines = recorded::read::<Recorded>("story.jsonl")?.into_iter();
    let about = |line| match line {
        Recorded::About(about) => Some(about),
        _ => None,
    };
    lines.filter_map(about).next().context("story.jsonl says nothing about its runs")
}

pub fn pages() -> Result<Vec<Page>> {
    let (mut about, mut sweep, mut runs, mut answers) =
        (None, Sweep::default(), Vec::new(), Vec::new());
    for line in recorded::read::<Recorded>("story.jsonl")? {
        match line {
            Recorded::About(line) => about = Some(line),
            Recorded::Sweep(Trials { method, trials }) => {
                sweep.trials.insert(method, trials);
            }
            Recorded::Run(run) => runs.push(run),
            Recorded::Answer(answer) => answers.push(answer),
        }
    }
    let about = about.context("story.jsonl says nothing about its runs")?;
    let recorded = |row: &Row| runs.iter().any(|run| run.method == row.name);
    let rows: Vec<Row> = Row::all().into_iter().filter(recorded).collect();
    Ok(vec![
        Page::exact("story-about.md", said(&about)),
        Page::exact("story-answers.md", answered(&answers)?),
        Page::exact("story-sweep.md", crate::side_by_side::sweep_table(&sweep, &rows)?),
        Page::exact("story-results.md", results(&rows, &runs)?),
        Page::exact("story-exact.svg.html", exact(&rows, &runs)?),
        Page::exact("story-losses.svg.html", losses(&rows, &runs, about.steps)),
    ])
}

fn said(about: &About) -> String {
    let About { date, processor, steps, rows, lora_lr } = about;
    format!(
        "The runs were recorded on {date}, on one core of an {processor}: {steps} steps of one row each, so that a run \
         sees {steps} of the {} rows for training. The answers above are those of LoRA at a rate of {lora_lr}.\n",
        rows - 2 * (rows / 10),
    )
}

fn answered(answers: &[Answer]) -> Result<String> {
    let mut table = String::from("| asked | before | after |\n|---|---|--:|\n");
    for Answer { text, before, after } in answers {
        let [before, after] = [before, after].map(|text| text.replace('\n', " ⏎ "));
        writeln!(table, "| {text} | {before} | {after} |")?;
    }
    Ok(table)
}

fn of<'r>(row: &Row, runs: &'r [Run]) -> Vec<&'r Run> {
    runs.iter().filter(|run| run.method == row.name).collect()
}

fn spread(runs: &[&Run], number: fn(&Run) -> f64) -> Result<Spread> {
    Spread::of(runs.iter().map(|run| number(run))).context("at least one seed")
}

fn results(rows: &[Row], runs: &[Run]) -> Result<String> {
    let mut table = String::from(
        "| | trained | η | held-out loss | range | exact answers | range |\n|---|--:|--:|--:|--:|--:|--:|\n",
    );
    let before = &runs.first().context("a run was recorded")?.before;
    writeln!(table, "| before | | | {:.3} | | {:.0}% | |", before.loss, 100.0 * before.exact)?;
    for row in rows {
        let runs = of(row, runs);
        let loss = spread(&runs, |run| run.after.loss)?;
        let exact = spread(&runs, |run| 100.0 * run.after.exact)?;
        writeln!(
            table,
            "| {} | {} | {} | {:.3} | {:.3}–{:.3} | {:.0}% | {:.0}–{:.0}% |",
            row.label,
            HumanCount(runs[0].trainable as u64),
            runs[0].lr,
            loss.median,
            loss.least,
            loss.most,
            exact.median,
            exact.least,
            exact.most,
        )?;
    }
    Ok(table)
}

fn exact(rows: &[Row], runs: &[Run]) -> Result<String> {
    let (mut right, mut trained) = (Vec::new(), Vec::new());
    for row in rows {
        let runs = of(row, runs);
        let median = spread(&runs, |run| 100.0 * run.after.exact)?.median;
        right.push((median, format!("{median:.0}%")));
        let numbers = runs[0].trainable;
        trained.push((numbers as f64, HumanCount(numbers as u64).to_string()));
    }
    let panels = [("dates that are right", right), ("numbers trained", trained)];
    let bars = Bars {
        title: "SmolLM2 after the same number of steps".into(),
        names: rows.iter().map(|row| row.label.into()).collect(),
        panels: panels.map(|(title, values)| Panel { title: title.into(), values }).into(),
    };
    let caption = "The share of held-out sentences whose date is right in every character, and how many numbers were trained for it: medians of three seeds. One sentence of the 20 is five points, so that no adapter is clearly better than another, and none clearly worse than full fine-tuning. A bar with a cut is longer than \
                   the panel. Drawn by <code>cargo xtask regen</code> from recorded runs.";
    Ok(picture::figure("charts", &[bars.draw("story-exact")], caption))
}

/// Over this many steps a curve is smoothed, since a step is one row.
const WINDOW: usize = 4;

fn losses(rows: &[Row], runs: &[Run], steps: usize) -> String {
    let line = |row: &Row| {
        let runs = of(row, runs);
        let mean =
            |step: usize| runs.iter().map(|run| run.losses[step]).sum::<f64>() / runs.len() as f64;
        let losses: Vec<f64> = (0..steps).map(mean).collect();
        let smooth =
            losses.windows(WINDOW).map(|window| window.iter().sum::<f64>() / WINDOW as f64);
        let points = smooth.enumerate().map(|(i, loss)| ((i + WINDOW) as f64, loss)).collect();
        Line { name: row.label.into(), points }
    };
    let chart = Chart {
        title: "Training loss of SmolLM2, mean of the seeds".into(),
        axes: ["step".into(), format!("mean of {WINDOW} steps")],
        ranges: [WINDOW as f64..steps as f64, 0.07..1.0],
        log: true,
        square: false,
        lines: rows.iter().map(line).collect(),
    };
    let caption = "Each method at the best rate of its own sweep. A step is one row, and some rows are harder than others, so the curves are uneven. The runs are recorded.";
    figure("story-losses", caption, &[chart])
}
