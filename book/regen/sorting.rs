//! The task that goes through the book: what the embedded model answers, what it shall learn, and how far each method gets.

use std::fmt::Write;

use adapter::Full;
use anyhow::{Context, Result};
use finetune::Spread;
use indicatif::HumanCount;
use llama::data::Example;
use llama::random::{Purpose, random};
use llama::tiny::{self, DIGITS, Task};
use llama::{Adapters, Sampling};
use methods::Row;
use picture::{Bars, Panel, figure};

use crate::recorded;
use crate::side_by_side::{RUNS, Run};
use book::Page;

/// Of the table on the first page.
const PROBLEMS: usize = 3;

pub fn problems() -> Result<Vec<Page>> {
    let model = tiny::model::<f32>()?;
    let (none, sampling) = (Adapters::<Full>::none(), Sampling::greedy(DIGITS, Vec::new()));
    let mut table = String::from(
        "| given | the model answers | after fine-tuning it is to answer |\n|---|---|---|\n",
    );
    for Example { tokens, .. } in
        Task::Descending.examples(PROBLEMS, &mut random(0, Purpose::Problems, 2))
    {
        let (given, wanted) = tokens.split_at(tokens.len() - DIGITS);
        let mut rng = random(0, Purpose::Sampling, 0);
        let answer = model.generate(&none, given, &sampling, &mut rng, |_| {})?;
        let [given, answer, wanted] = [given, &answer, wanted].map(tiny::decode);
        writeln!(table, "| `{given}` | `{answer}` | `{wanted}` |")?;
    }
    Ok(vec![Page::exact("sorting.md", table)])
}

/// A page for each method, with what it comes to beside full fine-tuning and LoRA; and all of them as a picture.
pub fn methods() -> Result<Vec<Page>> {
    let runs = recorded::read::<Run>(RUNS)?;
    let table = |shown: &[&str]| -> Result<String> {
        let mut table = String::from(
            "| sorting downwards | trained | held-out loss | exact answers | range |\n|---|--:|--:|--:|--:|\n",
        );
        for row in Row::all() {
            if shown.contains(&row.name) {
                writeln!(table, "{}", line(&row, &runs)?)?;
            }
        }
        Ok(table)
    };
    let pages = [
        ("sorting-lora.md", &["full", "lora"][..]),
        ("sorting-lora-fa.md", &["lora", "lora-fa-plain", "lora-fa-projected"]),
        ("sorting-vera.md", &["lora", "vera"]),
        ("sorting-delta-lora.md", &["lora", "delta-lora"]),
        ("sorting-lora-plus.md", &["lora", "lora-plus"]),
        ("sorting-dora.md", &["lora", "dora"]),
    ];
    let page = |(name, shown): (&'static str, &[&str])| Ok(Page::rounded(name, table(shown)?));
    let mut pages = pages.into_iter().map(page).collect::<Result<Vec<_>>>()?;
    pages.push(Page::rounded("sorting.svg.html", bars(&runs)?));
    Ok(pages)
}

fn of<'r>(row: &Row, runs: &'r [Run]) -> Vec<&'r Run> {
    runs.iter().filter(|run| run.method == row.label).collect()
}

fn exact(runs: &[&Run]) -> Result<Spread> {
    Spread::of(runs.iter().map(|run| 100.0 * run.exact)).context("at least one seed")
}

fn line(row: &Row, runs: &[Run]) -> Result<String> {
    let runs = of(row, runs);
    let loss = Spread::of(runs.iter().map(|run| run.held_out_loss)).context("at least one seed")?;
    let exact = exact(&runs)?;
    Ok(format!(
        "| {} | {} | {:.4} | {:.1}% | {:.1}–{:.1}% |",
        row.label,
        HumanCount(runs[0].trainable as u64),
        loss.median,
        exact.median,
        exact.least,
        exact.most,
    ))
}

fn bars(runs: &[Run]) -> Result<String> {
    let rows = Row::all();
    let (mut right, mut trained, mut medians) = (Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        let runs = of(row, runs);
        let median = exact(&runs)?.median;
        medians.push(median);
        right.push((median, format!("{median:.1}%")));
        let numbers = runs[0].trainable;
        trained.push((numbers as f64, HumanCount(numbers as u64).to_string()));
    }
    let panels = [("answers that are right", right), ("numbers trained", trained)];
    let bars = Bars {
        title: "Sorting downwards after 400 steps".into(),
        names: rows.iter().map(|row| row.label.into()).collect(),
        panels: panels.map(|(title, values)| Panel { title: title.into(), values }).into(),
    };
    let mut best: Vec<_> = rows.iter().zip(&medians).skip(1).collect();
    best.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let caption = format!(
        "How many of 1,000 problems each method solves, the median of three seeds, and how many numbers it trains for it. {} and {} come nearest to full \
         fine-tuning. A bar with a cut is longer than the panel. Drawn by <code>cargo xtask regen</code>.",
        best[0].0.label, best[1].0.label,
    );
    Ok(figure("charts", &[bars.draw("sorting")], &caption))
}
