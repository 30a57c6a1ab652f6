//! All methods on the embedded model: what `lowrank compare` runs, in f64, so that the rounding of one processor's BLAS
//! against another's does not reach the digits printed.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result};
use finetune::{Contender, Data, Plan, Record, Sweep};
use indicatif::{BinaryBytes, HumanCount, ProgressBar};
use llama::tiny;

use crate::figure::{Chart, Line, figure};
use book::{Page, parallel};

const SEEDS: u64 = 3;
/// The matrix whose change is drawn.
const MODULE: &str = "model.layers.1.self_attn.q_proj";

type Runs = Vec<(Contender, Vec<Record>)>;

pub fn pages() -> Result<Vec<Page>> {
    let terms = Plan::embedded(finetune::Name::Lora, f64::NAN);
    let sweep = Sweep::embedded();
    let model = tiny::model::<f64>()?;
    let bar = ProgressBar::new(Contender::ALL.len() as u64 * SEEDS * terms.steps as u64);
    let one = |(contender, seed): (Contender, u64)| -> Result<Record> {
        let lr = sweep.rate(contender).context("the committed sweep has every method")?;
        let plan = contender.plan(&terms, lr, seed);
        let data = Data::embedded(&plan, Some(seed))?;
        Ok(finetune::run(&plan, &model, &data, &mut |_| bar.inc(1))?)
    };
    let seeds = |contender| (0..SEEDS).map(move |seed| (contender, seed));
    let records = parallel::map(Contender::ALL.into_iter().flat_map(seeds).collect(), one)?;
    let records = records.chunks(SEEDS as usize).map(<[Record]>::to_vec);
    let runs: Runs = Contender::ALL.into_iter().zip(records).collect();
    bar.finish_and_clear();
    Ok(vec![
        Page::exact("side-by-side-sweep.md", sweep_table(&sweep)?),
        Page::exact("side-by-side-bytes.md", bytes(&terms, &sweep)?),
        Page::rounded("side-by-side.md", results(&runs)?),
        Page::rounded("side-by-side-losses.svg.html", losses(&runs)?),
        Page::rounded("side-by-side-spectra.svg.html", spectra(&runs)?),
    ])
}

fn sweep_table(sweep: &Sweep) -> Result<String> {
    let mut rates: Vec<f64> = sweep.trials.values().flatten().map(|trial| trial.lr).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    let mut table = String::from("| loss at η = |");
    rates.iter().try_for_each(|lr| write!(table, " {lr} |"))?;
    writeln!(table, "\n|---|{}", "--:|".repeat(rates.len()))?;
    for contender in Contender::ALL {
        write!(table, "| {} |", contender.label())?;
        let best = sweep.rate(contender);
        for lr in &rates {
            let trial = sweep.trials[contender.name()].iter().find(|trial| trial.lr == *lr);
            match trial.map(|trial| trial.loss) {
                None => write!(table, " |")?,
                Some(None) => write!(table, " diverged |")?,
                Some(Some(loss)) if best == Some(*lr) => write!(table, " **{loss:.3}** |")?,
                Some(Some(loss)) => write!(table, " {loss:.3} |")?,
            }
        }
        writeln!(table)?;
    }
    Ok(table)
}

/// Of one step in f32: as many on every machine.
fn bytes(terms: &Plan, sweep: &Sweep) -> Result<String> {
    let mut table = String::from(
        "| | trained | weights | gradients | optimiser | saved for backward | by the adapters |\n\
         |---|--:|--:|--:|--:|--:|--:|\n",
    );
    let model = tiny::model::<f32>()?;
    for contender in Contender::ALL {
        let lr = sweep.rate(contender).context("the committed sweep has every method")?;
        let plan = Plan { steps: 1, ..contender.plan(terms, lr, 0) };
        let mut data = Data::embedded(&plan, Some(0))?;
        data.held_out.truncate(1);
        let record = finetune::run(&plan, &model, &data, &mut |_| {})?;
        write!(table, "| {} | {} |", contender.label(), HumanCount(record.trainable as u64))?;
        for bytes in record.bytes.values().into_iter().chain([record.adapter_saved_bytes]) {
            // A number and its unit on one line.
            write!(table, " {} |", BinaryBytes(bytes as u64).to_string().replace(' ', "\u{a0}"))?;
        }
        writeln!(table)?;
    }
    Ok(table)
}

fn results(runs: &Runs) -> Result<String> {
    let mut table = String::from(
        "| | trained | η | held-out loss | range | exact answers | range | effective rank |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for (contender, records) in runs {
        let spread = |number: fn(&Record) -> f64| {
            let mut values: Vec<f64> = records.iter().map(number).collect();
            values.sort_by(f64::total_cmp);
            [values[values.len() / 2], values[0], values[values.len() - 1]]
        };
        let [loss, least, most] = spread(|record| record.after.loss);
        let [exact, worst, best] = spread(|record| 100.0 * record.after.exact);
        let Record { trainable, lr, .. } = &records[0];
        writeln!(
            table,
            "| {} | {} | {lr} | {loss:.4} | {least:.4}–{most:.4} | {exact:.1}% | {worst:.1}–{best:.1}% | {:.1} |",
            contender.label(),
            HumanCount(*trainable as u64),
            spread(|record| record.effective_rank)[0],
        )?;
    }
    Ok(table)
}

fn losses(runs: &Runs) -> Result<String> {
    let line = |(contender, records): &(Contender, Vec<Record>)| {
        let steps = records[0].losses.len();
        let mean = |step: usize| {
            records.iter().map(|record| record.losses[step]).sum::<f64>() / records.len() as f64
        };
        let losses: Vec<f64> = (0..steps).map(mean).collect();
        let smooth = losses.windows(10).map(|window| window.iter().sum::<f64>() / 10.0);
        let points = smooth.enumerate().map(|(i, loss)| ((i + 10) as f64, loss)).collect();
        Line { name: contender.label().into(), points }
    };
    let chart = Chart {
        title: "Training loss, mean of three seeds".into(),
        x: "step",
        y: "mean of 10 steps",
        ranges: [0.0..400.0, 3e-3..10.0],
        log: true,
        lines: runs.iter().map(line).collect(),
    };
    figure("Each method at the best rate of the same sweep.", &[chart])
}

fn spectra(runs: &Runs) -> Result<String> {
    let line = |(contender, records): &(Contender, Vec<Record>)| {
        let spectra: &BTreeMap<_, _> = &records[0].spectra;
        let values = &spectra[MODULE];
        let relative = values.iter().map(|sigma| sigma / values[0]).enumerate();
        let points = relative.map(|(i, sigma)| (i as f64 + 1.0, sigma));
        Line {
            name: contender.label().into(),
            // What is left of a vanished singular value is rounding.
            points: points.take_while(|(_, sigma)| *sigma > 1e-6).collect(),
        }
    };
    let chart = Chart {
        title: format!("What training changed in {MODULE}"),
        x: "number of the singular value",
        y: "σ / σ₁",
        ranges: [0.0..96.0, 1e-4..1.5],
        log: true,
        lines: runs.iter().map(line).collect(),
    };
    figure(
        "LoRA's curves end at r = 8, Delta-LoRA's at 2r = 16; VeRA and full fine-tuning reach all 96.",
        &[chart],
    )
}
