//! All methods on the embedded model: what `lowrank compare` runs, in f64, so that the rounding of one processor's BLAS
//! against another's does not reach the digits printed.

use std::fmt::Write;

use anyhow::{Context, Result};
use finetune::{Data, Plan, Record, Session, Spread, Sweep};
use indicatif::{HumanCount, ProgressBar};
use llama::{Llama, Projection, tiny};
use methods::{Method, Row, Tunable, Visitor};
use serde::{Deserialize, Serialize};

use crate::recorded::{self, Again};
use book::figure::{Chart, Line, figure};
use book::{Page, parallel};

const SEEDS: u64 = 3;
/// Of a run that a check makes in part: Delta-LoRA's W moves from the hundredth on.
const FIRST_STEPS: usize = 120;
/// The matrix whose change is drawn.
const MODULE: &str = "model.layers.1.self_attn.q_proj";

/// Whose change is decomposed.
pub const COMPARED: [Projection; 2] = [Projection::Q, Projection::V];

pub const RUNS: &str = "side-by-side.jsonl";

/// Of the matrix whose change is drawn, and up to how many singular values a curve is short: Delta-LoRA's 2r.
const WIDTH: usize = 96;
const SHORT: usize = 16;

/// What the pages show of a run, to six digits.
#[derive(Clone, Serialize, Deserialize)]
pub struct Run {
    /// Its row's label.
    pub method: String,
    seed: u64,
    lr: f64,
    pub trainable: usize,
    pub held_out_loss: f64,
    pub exact: f64,
    effective_rank: f64,
    /// Before each update.
    losses: Vec<f64>,
    /// Of the change of `MODULE`, relative to the largest; what is below 1e-6 is left out, since it is rounding.
    singular_values: Vec<f64>,
}

impl Run {
    fn of(row: &Row, record: &Record) -> Self {
        let digits = recorded::six_digits;
        let spectrum = &record.spectra[MODULE];
        let relative = spectrum.iter().map(|sigma| digits(sigma / spectrum[0]));
        Self {
            method: row.label.into(),
            seed: record.seed,
            lr: record.lr,
            trainable: record.trainable,
            held_out_loss: digits(record.after.loss),
            exact: digits(record.after.exact),
            effective_rank: digits(record.effective_rank),
            losses: record.losses.iter().copied().map(digits).collect(),
            singular_values: relative.take_while(|sigma| *sigma > 1e-6).collect(),
        }
    }
}

/// The losses of a run's first steps.
struct FirstSteps<'a> {
    plan: &'a Plan,
    model: &'a Llama<f64>,
    data: &'a Data,
    bar: &'a ProgressBar,
}

impl Visitor<f64> for FirstSteps<'_> {
    type Output = Result<Vec<f64>>;

    fn visit<M: Tunable<f64>>(self) -> Result<Vec<f64>> {
        let Self { plan, model, data, bar } = self;
        let mut session = Session::<f64, M>::start(plan.clone(), model.clone(), data.clone())?;
        let mut step = || {
            bar.inc(1);
            Ok(recorded::six_digits(session.step()?.0.loss))
        };
        (0..FIRST_STEPS).map(|_| step()).collect()
    }
}

/// The runs of each row, one a seed.
type Runs = Vec<(Row, Vec<Run>)>;

/// A sample is the first seed: LoRA's run, with which the others are compared, to its end, and the first steps of every other row.
/// What changes a method changes these: every loss depends on all the updates before it.
pub fn pages(again: Again) -> Result<Vec<Page>> {
    let terms = Plan::embedded(Method::Lora, f64::NAN);
    let sweep = Sweep::embedded();
    let model = tiny::model::<f64>()?;
    let rows = Row::all();
    let kept = if again == Again::All { Vec::new() } else { recorded::read::<Run>(RUNS)? };
    let trained = match again {
        Again::All => 0..SEEDS,
        Again::Sample => 0..1,
        Again::None => 0..0,
    };
    let whole = |row: &Row| again == Again::All || row.method == Method::Lora;
    let seeds = |row: &Row| trained.clone().map(|seed| (*row, seed)).collect::<Vec<_>>();
    let chosen: Vec<_> = rows.iter().flat_map(seeds).collect();
    let steps = chosen.iter().map(|(row, _)| if whole(row) { terms.steps } else { FIRST_STEPS });
    let bar = ProgressBar::new(steps.sum::<usize>() as u64);
    let one = |(row, seed): (Row, u64)| -> Result<Run> {
        let lr = sweep.rate(&row).context("the committed sweep has every method")?;
        let plan = terms.of_row(&row, lr, seed);
        let data = Data::embedded(&plan, Some(seed))?;
        if whole(&row) {
            let record = finetune::run(&plan, &model, &data, &COMPARED, &mut |_| bar.inc(1))?;
            return Ok(Run::of(&row, &record));
        }
        let kept = kept.iter().find(|run| run.method == row.label && run.seed == seed);
        let mut run = kept.context("the file has no such run")?.clone();
        let first = FirstSteps { plan: &plan, model: &model, data: &data, bar: &bar };
        run.losses.splice(..FIRST_STEPS, plan.method.visit(first)?);
        Ok(run)
    };
    let made = parallel::map(chosen, one)?;
    bar.finish_and_clear();
    let same = |a: &Run, b: &Run| (&a.method, a.seed) == (&b.method, b.seed);
    let runs = recorded::complete(RUNS, made, again, same)?;
    let of = |row: &Row| -> Vec<Run> {
        runs.iter().filter(|run| run.method == row.label).cloned().collect()
    };
    let runs: Runs = rows.iter().map(|row| (*row, of(row))).collect();
    let all: Vec<&Run> = runs.iter().flat_map(|(_, runs)| runs).collect();
    Ok(vec![
        Page::rounded(RUNS, recorded::text(&all)?),
        Page::exact("side-by-side-sweep.md", sweep_table(&sweep, &rows)?),
        Page::rounded("side-by-side.md", results(&runs)?),
        Page::rounded("side-by-side-losses.svg.html", losses(&runs)),
        Page::rounded("side-by-side-spectra.svg.html", spectra(&runs)),
    ])
}

pub fn sweep_table(sweep: &Sweep, rows: &[Row]) -> Result<String> {
    let mut lines = sweep.table(rows, |loss, best| match best {
        true => format!("**{loss:.3}**"),
        false => format!("{loss:.3}"),
    });
    lines[0][0] = "loss at η =".into();
    let rule = std::iter::once("---").chain(std::iter::repeat_n("--:", lines[0].len() - 1));
    lines.insert(1, rule.map(str::to_owned).collect());
    let mut table = String::new();
    for line in lines {
        writeln!(table, "| {} |", line.join(" | "))?;
    }
    Ok(table)
}

fn results(runs: &Runs) -> Result<String> {
    let mut table = String::from(
        "| | trained | η | held-out loss | range | exact answers | range | effective rank |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for (row, seeds) in runs {
        let spread = |number: fn(&Run) -> f64| {
            Spread::of(seeds.iter().map(number)).context("at least one seed")
        };
        let loss = spread(|run| run.held_out_loss)?;
        let exact = spread(|run| 100.0 * run.exact)?;
        let Run { trainable, lr, .. } = &seeds[0];
        writeln!(
            table,
            "| {} | {} | {lr} | {:.4} | {:.4}–{:.4} | {:.1}% | {:.1}–{:.1}% | {:.1} |",
            row.label,
            HumanCount(*trainable as u64),
            loss.median,
            loss.least,
            loss.most,
            exact.median,
            exact.least,
            exact.most,
            spread(|run| run.effective_rank)?.median,
        )?;
    }
    Ok(table)
}

fn losses(runs: &Runs) -> String {
    let line = |(row, seeds): &(Row, Vec<Run>)| {
        let steps = seeds[0].losses.len();
        let mean = |step: usize| {
            seeds.iter().map(|run| run.losses[step]).sum::<f64>() / seeds.len() as f64
        };
        let losses: Vec<f64> = (0..steps).map(mean).collect();
        let smooth = losses.windows(10).map(|window| window.iter().sum::<f64>() / 10.0);
        let points = smooth.enumerate().map(|(i, loss)| ((i + 10) as f64, loss)).collect();
        Line { name: row.label.into(), points }
    };
    let chart = Chart {
        title: "Training loss, mean of three seeds".into(),
        axes: ["step".into(), "mean of 10 steps".into()],
        ranges: [0.0..400.0, 3e-3..10.0],
        log: true,
        square: false,
        lines: runs.iter().map(line).collect(),
    };
    let caption = "Each method at the best rate of the same sweep. Full fine-tuning falls fastest; DoRA and LoRA+ come next.";
    figure("side-by-side-losses", caption, &[chart])
}

fn spectra(runs: &Runs) -> String {
    let line = |(row, seeds): &(Row, Vec<Run>)| {
        let points = seeds[0].singular_values.iter().enumerate();
        let full = row.method == Method::Full;
        Line {
            name: if full { "full fine-tuning" } else { row.label }.into(),
            points: points.map(|(i, &sigma)| (i as f64 + 1.0, sigma)).collect(),
        }
    };
    // A short curve beside a long one would be a stroke, and its name far from its end.
    let (short, long): (Vec<Line>, Vec<Line>) =
        runs.iter().map(line).partition(|line| line.points.len() <= SHORT);
    let chart = |lines, count: usize, from: f64| Chart {
        title: format!("Changes of up to {count} directions"),
        axes: ["number of the singular value".into(), "σ / σ₁".into()],
        ranges: [1.0..count as f64, from..1.2],
        log: true,
        square: false,
        lines,
    };
    let caption = format!(
        "What changed in <code>{}</code>. The curves of LoRA, LoRA-FA and LoRA+ end at r = 8, Delta-LoRA's at 2r = 16; VeRA, DoRA and full fine-tuning reach all {WIDTH}.",
        MODULE.trim_start_matches("model."),
    );
    let charts = [chart(short, SHORT, 3e-3), chart(long, WIDTH, 1e-4)];
    figure("side-by-side-spectra", &caption, &charts)
}
