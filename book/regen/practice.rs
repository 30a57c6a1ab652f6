//! What to choose: targets, α beside the rate, dropout. LoRA on the embedded model, in f64, like the pages side by side.

use std::fmt::Write;

use anyhow::{Context, Result};
use finetune::{Data, Plan, Spread};
use indicatif::{HumanCount, ProgressBar};
use llama::tiny;
use methods::Method;
use picture::{Bars, Panel};
use serde::{Deserialize, Serialize};

use crate::recorded::{self, Again};
use book::figure::{Chart, Line, figure};
use book::{Page, parallel};

const RUNS: &str = "practice.jsonl";
const RATES: [f64; 3] = [3e-3, 1e-2, 3e-2];
const SEEDS: u64 = 3;
const ALPHAS: [&str; 3] = ["4", "16", "64"];
const DROPOUTS: [&str; 3] = ["0", "0.1", "0.3"];

/// Which projections have an adapter, and of which rank; α is twice the rank.
const TARGETS: [(&str, &str, usize); 5] = [
    ("q, v", "q_proj,v_proj", 8),
    ("q, k, v, o", "q_proj,k_proj,v_proj,o_proj", 4),
    ("gate, up, down", "gate_proj,up_proj,down_proj", 3),
    ("all seven", "all-linear", 2),
    ("all seven", "all-linear", 8),
];

/// A run, and what came of it, to six digits.
#[derive(Clone, Serialize, Deserialize)]
struct Run {
    targets: String,
    rank: usize,
    alpha: String,
    dropout: String,
    lr: f64,
    seed: u64,
    /// Whether the problems that it was measured on are those to choose a rate by.
    choosing: bool,
    trainable: usize,
    held_out_loss: f64,
    exact: f64,
}

impl Run {
    /// Nothing of it has been measured yet.
    fn planned(targets: &str, rank: usize, lr: f64, seed: u64, choosing: bool) -> Self {
        Self {
            targets: targets.into(),
            rank,
            alpha: (2 * rank).to_string(),
            dropout: "0".into(),
            lr,
            seed,
            choosing,
            trainable: 0,
            held_out_loss: f64::NAN,
            exact: f64::NAN,
        }
    }

    fn made(self) -> Result<Self> {
        let mut plan = Plan { seed: self.seed, ..Plan::embedded(Method::Lora, self.lr) };
        plan.options = [
            ("targets", &self.targets),
            ("rank", &self.rank.to_string()),
            ("alpha", &self.alpha),
            ("dropout", &self.dropout),
        ]
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .to_vec();
        let mut data = Data::embedded(&plan, Some(self.seed))?;
        if self.choosing {
            data.held_out = Data::embedded_for_choosing();
        }
        let record = finetune::run(&plan, &tiny::model::<f64>()?, &data, &[], &mut |_| {})?;
        Ok(Self {
            trainable: record.trainable,
            held_out_loss: recorded::six_digits(record.after.loss),
            exact: recorded::six_digits(record.after.exact),
            ..self
        })
    }
}

/// A sample is all seven projections at rank 8, with the first seed.
pub fn pages(again: Again) -> Result<Vec<Page>> {
    let runs = match again {
        Again::All => all()?,
        Again::None => recorded::read(RUNS)?,
        Again::Sample => {
            let mut runs = recorded::read::<Run>(RUNS)?;
            let sample =
                |run: &&mut Run| run.rank == 8 && run.targets == "all-linear" && !run.choosing;
            let sample = runs.iter_mut().find(sample).context("the file has no such run")?;
            *sample = sample.clone().made()?;
            runs
        }
    };
    Ok(vec![
        Page::rounded("practice-targets.md", targets(&runs)?),
        Page::rounded("practice-alpha.md", alphas(&runs)?),
        Page::rounded("practice-dropout.md", dropouts(&runs)?),
        Page::rounded("practice-targets.svg.html", targets_figure(&runs)?),
        Page::rounded("practice-alpha.svg.html", alpha_figure(&runs)?),
        Page::rounded(RUNS, recorded::text(&runs)?),
    ])
}

fn all() -> Result<Vec<Run>> {
    let rates = |&(_, targets, rank): &(&str, &'static str, usize)| {
        RATES.map(|lr| Run::planned(targets, rank, lr, 0, true))
    };
    let mut runs = train(TARGETS.iter().flat_map(rates).collect())?;
    let mut planned = Vec::new();
    for (_, targets, rank) in TARGETS {
        let lr = best_rate(&runs, targets, rank)?;
        planned.extend((0..SEEDS).map(|seed| Run::planned(targets, rank, lr, seed, false)));
    }
    let (_, targets, rank) = TARGETS[0];
    for alpha in ALPHAS.iter().filter(|alpha| **alpha != "16") {
        let of = |lr| Run { alpha: (*alpha).into(), ..Run::planned(targets, rank, lr, 0, true) };
        planned.extend(RATES.map(of));
    }
    let lr = best_rate(&runs, targets, rank)?;
    for dropout in &DROPOUTS[1..] {
        let of = |seed| Run {
            dropout: (*dropout).into(),
            ..Run::planned(targets, rank, lr, seed, false)
        };
        planned.extend((0..SEEDS).map(of));
    }
    runs.extend(train(planned)?);
    Ok(runs)
}

fn train(runs: Vec<Run>) -> Result<Vec<Run>> {
    let bar = ProgressBar::new(runs.len() as u64);
    let made = parallel::map(runs, |run| {
        let made = run.made();
        bar.inc(1);
        made
    });
    bar.finish_and_clear();
    made
}

/// The rate of the lowest loss on the problems that are for choosing.
fn best_rate(runs: &[Run], targets: &str, rank: usize) -> Result<f64> {
    let tried = runs.iter().filter(|run| {
        run.choosing
            && run.targets == targets
            && run.rank == rank
            && run.alpha == (2 * rank).to_string()
    });
    let best = tried.min_by(|a, b| a.held_out_loss.total_cmp(&b.held_out_loss));
    Ok(best.context("every setting has its rates")?.lr)
}

/// Median and range of loss and exact answers over the seeds, as cells of a table.
fn over_seeds<'a>(runs: impl Iterator<Item = &'a Run> + Clone) -> Result<String> {
    let spread =
        |number: fn(&Run) -> f64| Spread::of(runs.clone().map(number)).context("at least one seed");
    let loss = spread(|run| run.held_out_loss)?;
    let exact = spread(|run| 100.0 * run.exact)?;
    Ok(format!(
        "{:.4} | {:.4}–{:.4} | {:.1}% | {:.1}–{:.1}%",
        loss.median, loss.least, loss.most, exact.median, exact.least, exact.most
    ))
}

fn targets(runs: &[Run]) -> Result<String> {
    let mut table = String::from(
        "| adapters on | r | trained | η | held-out loss | range | exact answers | range |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for (name, targets, rank) in TARGETS {
        let of = |run: &&Run| {
            !run.choosing && run.targets == targets && run.rank == rank && run.dropout == "0"
        };
        let first = runs.iter().find(of).context("every setting has its seeds")?;
        let (trained, cells) =
            (HumanCount(first.trainable as u64), over_seeds(runs.iter().filter(of))?);
        writeln!(table, "| {name} | {rank} | {trained} | {} | {cells} |", first.lr)?;
    }
    Ok(table)
}

fn alphas(runs: &[Run]) -> Result<String> {
    let mut table = String::from("| loss at η = | 0.003 | 0.01 | 0.03 |\n|---|--:|--:|--:|\n");
    let (_, targets, rank) = TARGETS[0];
    for alpha in ALPHAS {
        let scale = alpha.parse::<f64>()? / rank as f64;
        write!(table, "| α = {alpha}, s = {scale} |")?;
        for lr in RATES {
            let of = |run: &&Run| {
                run.choosing
                    && run.targets == targets
                    && run.rank == rank
                    && run.alpha == alpha
                    && run.lr == lr
            };
            let run = runs.iter().find(of).context("every α has its rates")?;
            write!(table, " {:.3} |", run.held_out_loss)?;
        }
        writeln!(table)?;
    }
    Ok(table)
}

fn dropouts(runs: &[Run]) -> Result<String> {
    let mut table = String::from(
        "| p | held-out loss | range | exact answers | range |\n|--:|--:|--:|--:|--:|\n",
    );
    let (_, targets, rank) = TARGETS[0];
    for dropout in DROPOUTS {
        let of = |run: &&Run| {
            !run.choosing && run.targets == targets && run.rank == rank && run.dropout == dropout
        };
        writeln!(table, "| {dropout} | {} |", over_seeds(runs.iter().filter(of))?)?;
    }
    Ok(table)
}

fn targets_figure(runs: &[Run]) -> Result<String> {
    let (mut names, mut wrong, mut trained) = (Vec::new(), Vec::new(), Vec::new());
    for (name, targets, rank) in TARGETS {
        let of = |run: &&Run| {
            !run.choosing && run.targets == targets && run.rank == rank && run.dropout == "0"
        };
        let runs: Vec<&Run> = runs.iter().filter(of).collect();
        let answers = Spread::of(runs.iter().map(|run| 100.0 * (1.0 - run.exact)));
        let median = answers.context("every setting has its seeds")?.median;
        names.push(format!("{name}, r = {rank}"));
        wrong.push((median, format!("{median:.1}%")));
        let numbers = runs[0].trainable;
        trained.push((numbers as f64, HumanCount(numbers as u64).to_string()));
    }
    let counts: Vec<u64> = trained.iter().map(|(numbers, _)| *numbers as u64).collect();
    let panels = [("answers that are wrong", wrong), ("numbers trained", trained)];
    let panels = panels.map(|(title, values)| Panel { title: title.into(), values }).into();
    let bars = Bars { title: "Where to put the adapters".into(), names, panels };
    let caption = format!(
        "With {} to {} trained numbers, adapters on all seven projections leave the fewest wrong answers. The last row trains four times as many. \
         A bar with a cut is longer than the panel. Drawn by <code>cargo xtask regen</code>.",
        HumanCount(counts[0]),
        HumanCount(counts[counts.len() - 2]),
    );
    Ok(picture::figure("charts", &[bars.draw("practice-targets")], &caption))
}

fn alpha_figure(runs: &[Run]) -> Result<String> {
    let (_, targets, rank) = TARGETS[0];
    let line = |alpha: &&str| {
        let of = |run: &&Run| {
            run.choosing && run.targets == targets && run.rank == rank && run.alpha == **alpha
        };
        let mut tried: Vec<&Run> = runs.iter().filter(of).collect();
        tried.sort_by(|a, b| a.lr.total_cmp(&b.lr));
        let points = tried.iter().map(|run| (run.lr.log10(), run.held_out_loss)).collect();
        Line { name: format!("α = {alpha}"), points }
    };
    let chart = Chart {
        title: "The best rate depends on α".into(),
        axes: ["log₁₀ of the rate".into(), "held-out loss".into()],
        ranges: [-2.75..-1.25, 0.03..1.0],
        log: true,
        square: false,
        lines: ALPHAS.iter().map(line).collect(),
    };
    let rates = RATES.map(|rate| format!("{:.2} for {rate}", rate.log10()).replace('-', "−"));
    let caption = format!(
        "With α = 4 the best of the rates tried is the highest, and with α = 16 and α = 64 it is the one in the middle. On the axis the rates stand at {}. One seed each.",
        rates.join(", "),
    );
    Ok(figure("practice-alpha", &caption, &[chart]))
}
