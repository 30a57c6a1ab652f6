//! What a new token needs, and what is forgotten. Each method learns to sort downwards where the problem ends in a token that
//! was never in a text, and afterwards the old problems are put to it. In f64, like the pages side by side.

use std::fmt::Write;

use anyhow::{Context, Result};
use finetune::{Data, Plan, Session, Spread, Sweep};
use indicatif::{HumanCount, ProgressBar};
use llama::data::Example;
use llama::random::{Purpose, random};
use llama::tiny::{self, DIGITS, Task};
use llama::{Llama, Masks, Train};
use methods::{Method, Row, Tunable, Visitor};
use picture::{Bars, Panel};
use serde::{Deserialize, Serialize};

use crate::recorded::{self, Again};
use book::{Page, parallel};

const RUNS: &str = "new-token.jsonl";
const SEEDS: u64 = 3;
/// In the vocabulary of 16, and in no problem that the model was trained on.
const NEW: u32 = 11;
const HELD_OUT: usize = 1000;
/// One problem in so many is an old one, where they are mixed in.
pub const OLD_IN: usize = 4;

/// What a run trains.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trained {
    /// What the method does: the new token's row stays as it is, unless everything is trained.
    Method,
    /// The row as well.
    AndRow,
    /// The row and nothing else.
    RowAlone,
}

/// A run, and what came of it, to six digits.
#[derive(Clone, Serialize, Deserialize)]
struct Run {
    /// Its row's name.
    method: String,
    trained: Trained,
    /// Are old problems among those that it is trained on?
    mixed: bool,
    lr: f64,
    seed: u64,
    trainable: usize,
    /// Answers to the new problems that are right, and to the old ones.
    new: f64,
    old: f64,
}

/// A run's problems end in their own token: the new one downwards, `>` upwards.
fn problems(task: Task, count: usize, seed: u64, set: u64) -> Vec<Example> {
    let mut examples = task.examples(count, &mut random(seed, Purpose::Problems, set));
    if task == Task::Descending {
        for example in &mut examples {
            example.tokens[DIGITS] = NEW;
        }
    }
    examples
}

/// The problems that are reported on: [`Data::embedded`]'s, with the token of the task.
fn reported(task: Task) -> Vec<Example> {
    problems(task, HELD_OUT, 0, 2)
}

struct Training<'a> {
    run: Run,
    row: Row,
    model: &'a Llama<f64>,
}

impl Visitor<f64> for Training<'_> {
    type Output = Result<Run>;

    fn visit<M: Tunable<f64>>(self) -> Result<Run> {
        let Self { run, row, model } = self;
        let plan = Plan::embedded(Method::Lora, f64::NAN).of_row(&row, run.lr, run.seed);
        let mut training = problems(Task::Descending, plan.steps * plan.batch, run.seed, 0);
        if run.mixed {
            let old = problems(Task::Ascending, training.len(), run.seed, 3);
            for place in (0..training.len()).step_by(OLD_IN) {
                training[place] = old[place].clone();
            }
        }
        let data = Data::new(training, reported(Task::Descending), Some(run.seed))?;
        let mut session = Session::<f64, M>::start(plan, model.clone(), data)?;
        while session.left() > 0 {
            match run.trained {
                Trained::Method => drop(session.step()?),
                Trained::AndRow | Trained::RowAlone => with_row(&mut session, run.trained)?,
            }
        }
        let trainer = &session.trainer;
        let exact = |task| -> Result<f64> {
            let score = trainer.model.evaluate(&trainer.adapters, &reported(task))?;
            Ok(recorded::six_digits(score.exact))
        };
        let row = model.embedding.ncols();
        let trainable = match run.trained {
            Trained::Method => trainer.trainable(),
            Trained::AndRow => trainer.trainable() + row,
            Trained::RowAlone => row,
        };
        Ok(Run { trainable, new: exact(Task::Descending)?, old: exact(Task::Ascending)?, ..run })
    }
}

// ANCHOR: with_row
/// A step that trains one row of the embedding, which is a row of the output matrix as well, and the adapters unless it is to
/// be alone. What has the gradient 0 does not move under Adam without decay.
fn with_row<M: Tunable<f64>>(session: &mut Session<f64, M>, trained: Trained) -> Result<()> {
    let trainer = &mut session.trainer;
    let batches = session.data.batches(&session.plan, trainer.step)?;
    let batch = batches.first().context("a step has a batch")?;
    let count = batch.predictions() as f64;
    let mut grads = trainer
        .model
        .loss_and_grads(&trainer.adapters, batch, &Masks::new(), Train::Everything, count)?
        .grads;
    let place = NEW as usize;
    let of_model = |grads: &llama::ModelGrads<f64>| grads.embedding.row(place).to_owned();
    let row = grads.model.as_ref().map(of_model).context("everything has a gradient")?;
    if trained == Trained::RowAlone {
        grads.scale(0.0);
    }
    if let Some(model) = &mut grads.model {
        adapter::tensors::scale(model, 0.0);
        model.embedding.row_mut(place).assign(&row);
    }
    let factor = trainer.settings.schedule.factor(trainer.step);
    trainer.optimizer.set_lr(session.plan.lr * factor);
    trainer.adapters.step(&mut trainer.model, &grads, &mut *trainer.optimizer)?;
    trainer.step += 1;
    Ok(())
}
// ANCHOR_END: with_row

/// All runs, without what comes of them.
fn planned() -> Result<Vec<(Row, Run)>> {
    let sweep = Sweep::embedded();
    let mut all = Vec::new();
    for row in Row::all() {
        let lr = sweep.rate(&row).context("the committed sweep has every method")?;
        let mut add = |trained, mixed| {
            for seed in 0..SEEDS {
                let method = row.name.to_owned();
                let [new, old] = [f64::NAN; 2];
                let run = Run { method, trained, mixed, lr, seed, trainable: 0, new, old };
                all.push((row, run));
            }
        };
        add(Trained::Method, false);
        if row.method == Method::Lora {
            add(Trained::AndRow, false);
            add(Trained::RowAlone, false);
            add(Trained::Method, true);
        }
    }
    Ok(all)
}

/// A sample is LoRA with the new token's row, with the first seed.
pub fn pages(again: Again) -> Result<Vec<Page>> {
    let sampled = |run: &Run| run.trained == Trained::AndRow && run.seed == 0;
    let mut chosen = planned()?;
    chosen.retain(|(_, run)| match again {
        Again::All => true,
        Again::Sample => sampled(run),
        Again::None => false,
    });
    let model = tiny::model::<f64>()?;
    let bar = ProgressBar::new(chosen.len() as u64);
    let made = parallel::map(chosen, |(row, run)| {
        let made = row.method.visit(Training { run, row, model: &model });
        bar.inc(1);
        made
    })?;
    bar.finish_and_clear();
    let same = |a: &Run, b: &Run| {
        (&a.method, a.trained, a.mixed, a.seed) == (&b.method, b.trained, b.mixed, b.seed)
    };
    let runs = recorded::complete(RUNS, made, again, same)?;
    Ok(vec![
        Page::rounded(RUNS, recorded::text(&runs)?),
        Page::rounded("new-token.md", tokens(&runs)?),
        Page::rounded("forgetting.md", forgetting(&runs)?),
        Page::rounded("forgetting.svg.html", figure(&runs)?),
    ])
}

/// What is trained, and whether old problems are mixed in, of LoRA.
pub const TOKENS: [(&str, Trained); 3] = [
    ("LoRA, the row as it was", Trained::Method),
    ("LoRA and the row", Trained::AndRow),
    ("the row alone", Trained::RowAlone),
];

fn exact(runs: &[&Run], answers: fn(&Run) -> f64) -> Result<Spread> {
    Spread::of(runs.iter().map(|run| 100.0 * answers(run))).context("at least one seed")
}

/// Median and range, as two cells.
fn cells(spread: &Spread) -> String {
    format!("{:.1}% | {:.1}–{:.1}%", spread.median, spread.least, spread.most)
}

fn line(name: &str, runs: &[&Run]) -> Result<String> {
    let trained = HumanCount(runs.first().context("at least one seed")?.trainable as u64);
    let [new, old] = [exact(runs, |run| run.new)?, exact(runs, |run| run.old)?];
    Ok(format!("| {name} | {trained} | {} | {} |", cells(&new), cells(&old)))
}

fn tokens(runs: &[Run]) -> Result<String> {
    let mut table = String::from(
        "| trained | numbers | new problems | range | old problems | range |\n|---|--:|--:|--:|--:|--:|\n",
    );
    for (name, trained) in TOKENS {
        let is = |run: &&Run| run.method == "lora" && run.trained == trained && !run.mixed;
        writeln!(table, "{}", line(name, &runs.iter().filter(is).collect::<Vec<_>>())?)?;
    }
    Ok(table)
}

/// The row of LoRA with old problems among the new.
pub fn mixed() -> String {
    format!("LoRA, 1 in {OLD_IN} old")
}

/// Each method, and LoRA with old problems among the new: a name and its runs.
fn compared(runs: &[Run]) -> Vec<(String, Vec<&Run>)> {
    let of = |name: &str, mixed: bool| -> Vec<&Run> {
        let is =
            |run: &&Run| run.method == name && run.trained == Trained::Method && run.mixed == mixed;
        runs.iter().filter(is).collect()
    };
    let mut all: Vec<_> =
        Row::all().iter().map(|row| (row.label.to_owned(), of(row.name, false))).collect();
    all.push((mixed(), of("lora", true)));
    all
}

fn forgetting(runs: &[Run]) -> Result<String> {
    let mut table = String::from(
        "| | trained | new problems | range | old problems | range |\n|---|--:|--:|--:|--:|--:|\n",
    );
    let none = llama::Adapters::<adapter::Full>::none();
    let model = tiny::model::<f64>()?;
    let before =
        |task| Ok::<_, anyhow::Error>(100.0 * model.evaluate(&none, &reported(task))?.exact);
    let [new, old] = [before(Task::Descending)?, before(Task::Ascending)?];
    writeln!(table, "| before | 0 | {new:.1}% | | {old:.1}% | |")?;
    for (name, runs) in compared(runs) {
        writeln!(table, "{}", line(&name, &runs)?)?;
    }
    Ok(table)
}

fn figure(runs: &[Run]) -> Result<String> {
    let (mut names, mut new, mut old) = (Vec::new(), Vec::new(), Vec::new());
    for (name, runs) in compared(runs) {
        let shown = |spread: Spread| (spread.median, format!("{:.1}%", spread.median));
        new.push(shown(exact(&runs, |run| run.new)?));
        old.push(shown(exact(&runs, |run| run.old)?));
        names.push(name);
    }
    let panels = [("new problems that are right", new), ("old problems that are still right", old)];
    let bars = Bars {
        title: "After 400 steps on the new problems".into(),
        names,
        panels: panels.map(|(title, values)| Panel { title: title.into(), values }).into(),
    };
    let mixed = bars.panels[1].values.last().map_or("", |(_, text)| text);
    let alone: Vec<f64> = bars.panels[1].values.iter().rev().skip(1).map(|value| value.0).collect();
    let [_, most] = book::numbers::range(&alone)?;
    let caption = format!(
        "Medians of three seeds. Trained on the new problems alone, the model solves at most {most:.1}% of the old ones; with one old problem \
         in {OLD_IN} among them, {mixed}. Drawn by <code>cargo xtask regen</code>."
    );
    Ok(picture::figure("charts", &[bars.draw_counts("forgetting")], &caption))
}
