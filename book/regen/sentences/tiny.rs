//! Of the runs on the embedded model.

use anyhow::{Context, Result, ensure};
use finetune::{Plan, Sweep};
use indicatif::HumanCount;
use llama::tiny;
use methods::{Method, Row};

use super::read::{Table, after, text};
use crate::{new_token, training};
use book::numbers::{Numbers, range};

pub fn add(numbers: &mut Numbers) -> Result<()> {
    let plan = Plan::embedded(Method::Lora, f64::NAN);
    numbers.add("tiny-parameters", HumanCount(tiny::model::<f32>()?.parameters() as u64));
    numbers.add("tiny-width", tiny::config().hidden_size);
    numbers.add("tiny-steps", plan.steps);
    numbers.add("tiny-batch", plan.batch);
    change(numbers)?;
    inspected(numbers)?;
    side_by_side(numbers)?;
    rates(numbers)?;
    practice(numbers)?;
    forgetting(numbers)
}

/// What full fine-tuning changes, cut to a rank.
fn change(numbers: &mut Numbers) -> Result<()> {
    let missing = Table::of("tiny-change.md")?.column("rank 16", |_| true)?;
    let [least, most] = range(&missing)?;
    numbers.add("change-missing-least", format!("{least:.0}"));
    numbers.add("change-missing-most", format!("{most:.0}"));
    let cut = Table::of("tiny-truncated.md")?.number("16", "exact answers")?;
    numbers.add("cut-right", cut);
    numbers.add("ranks-lora-rate", training::LORA_RATE);
    numbers.add("ranks-full-rate", training::FULL_RATE);
    let lost = after(&text("wrong-merged.svg.html")?, "rounding to bf16 loses ")?;
    numbers.add("bf16-lost", lost);
    Ok(())
}

/// The ranks of an adapter, a median over the layers for each matrix.
fn inspected(numbers: &mut Numbers) -> Result<()> {
    let text = text("adapter-inspect.txt")?;
    let modules = || text.lines().filter(|line| line.contains('×')).map(str::split_whitespace);
    let column = |from_the_right: usize| -> Result<Vec<f64>> {
        let cell =
            |words: std::str::SplitWhitespace<'_>| words.rev().nth(from_the_right)?.parse().ok();
        modules().map(cell).collect::<Option<_>>().context("adapter-inspect.txt")
    };
    ensure!(
        modules().all(|mut words| words.next_back() == Some("8/8/8")),
        "rank.md says all eight"
    );
    for (name, place) in [("effective", 2), ("stable", 1)] {
        let [least, most] = range(&column(place)?)?;
        numbers.add(&format!("adapter-{name}-least"), format!("{least:.1}"));
        numbers.add(&format!("adapter-{name}-most"), format!("{most:.1}"));
    }
    Ok(())
}

fn side_by_side(numbers: &mut Numbers) -> Result<()> {
    let table = Table::of("side-by-side.md")?;
    let trained = |row: &str| table.number(row, "trained");
    let exact = |row: &str| table.number(row, "exact answers");
    let rate = |row: &str| table.number(row, "η");
    let lora = trained("LoRA")?;
    numbers.add("full-times", format!("{:.0}", trained("full")? / lora));
    numbers.add("vera-share", format!("{:.0}", 100.0 * trained("VeRA")? / lora));
    numbers.add("fa-share", format!("{:.0}", 100.0 * trained("LoRA-FA")? / lora));
    numbers.add("dora-more", trained("DoRA")? - lora);
    ensure!(trained("LoRA+")? == lora, "side-by-side.md says so");
    numbers.add("lora-trained", HumanCount(lora as u64));
    for (key, row) in [("lora-right", "LoRA"), ("plus-right", "LoRA+"), ("vera-right", "VeRA")] {
        numbers.add(key, format!("{:.1}", exact(row)?));
    }
    numbers.add("dora-rate-times", format!("{:.0}", rate("DoRA")? / rate("LoRA")?));
    let option = |method: Method, name: &str| -> Result<f64> {
        let is = |option: &methods::OptionInfo| option.name == name;
        let option = method.options().into_iter().find(is).context("the option")?;
        option.default.as_f64().with_context(|| format!("{name} has a number as default"))
    };
    let ratio = option(Method::LoraPlus, "lr-ratio")?;
    numbers.add("plus-ratio", ratio);
    numbers.add("plus-rate-a", rate("LoRA+")?);
    numbers.add("plus-rate-b", rate("LoRA+")? * ratio);
    numbers.add("lora-rate", rate("LoRA")?);
    numbers.add("full-rate", rate("full")?);
    let [vera, lora] = [option(Method::Vera, "rank")?, option(Method::Lora, "rank")?];
    numbers.add("vera-rank-times", vera / lora);
    // On a square layer, where VeRA's backward has three thin products and LoRA's four.
    numbers.add("vera-back-times", 0.75 * vera / lora);
    Ok(())
}

/// What the sweep says of rates that are another's.
fn rates(numbers: &mut Numbers) -> Result<()> {
    let sweep = Sweep::embedded();
    let rows = Row::all();
    let row = |name: &str| rows.iter().find(|row| row.name == name).context("a row");
    // How many times its best loss a row has at a rate.
    let times = |name: &str, lr: f64| -> Result<f64> {
        let trials = &sweep.trials[name];
        let loss =
            |lr: f64| trials.iter().find(|trial| trial.lr == lr).and_then(|trial| trial.loss);
        let best = loss(sweep.rate(row(name)?).context("a best rate")?).context("its loss")?;
        Ok(loss(lr).context("the rate was tried")? / best)
    };
    let best = |name: &str| sweep.rate(row(name)?).context("a best rate");
    numbers.add("vera-at-plus-rate", format!("{:.0}", times("vera", best("lora-plus")?)?));
    let full = best("full")?;
    numbers.add("lora-at-full-rate", format!("{:.1}", times("lora", full)?));
    let others = ["lora-fa-plain", "lora-fa-projected", "vera"].map(|name| times(name, full));
    let [least, _] = range(&others.into_iter().collect::<Result<Vec<_>>>()?)?;
    numbers.add("others-at-full-rate", format!("{least:.0}"));
    let trials = &sweep.trials["lora"];
    let place = trials.iter().position(|trial| trial.lr == best("lora").unwrap_or(f64::NAN));
    let place = place.context("LoRA's best rate was tried")?;
    for (key, neighbour) in [("lora-below", place - 1), ("lora-above", place + 1)] {
        numbers.add(key, format!("{:.1}", times("lora", trials[neighbour].lr)?));
    }
    Ok(())
}

fn practice(numbers: &mut Numbers) -> Result<()> {
    let table = Table::of("practice-targets.md")?;
    // In the order of the table: q and v, all of attention, the MLP, all seven at rank 2.
    let losses = table.column("held-out loss", |_| true)?;
    let trained = table.column("trained", |_| true)?;
    for (key, place) in [("two-loss", 0), ("four-loss", 1), ("seven-loss", 3)] {
        numbers.add(key, format!("{:.4}", losses[place]));
    }
    ensure!(trained[0] == trained[1], "practice.md says so");
    numbers.add("two-trained", HumanCount(trained[0] as u64));
    numbers.add("seven-trained", HumanCount(trained[3] as u64));
    let alphas = Table::of("practice-alpha.md")?;
    let best = ["α = 4, s = 0.5", "α = 16, s = 2", "α = 64, s = 8"];
    let best = best.map(|row| range(&alphas.row(row)?)).into_iter().collect::<Result<Vec<_>>>()?;
    let [least, most] = range(&best.iter().map(|[least, _]| *least).collect::<Vec<_>>())?;
    numbers.add("alpha-loss-least", least);
    numbers.add("alpha-loss-most", most);
    Ok(())
}

/// Problems that end in a new token, and the old ones afterwards.
fn forgetting(numbers: &mut Numbers) -> Result<()> {
    let table = Table::of("forgetting.md")?;
    let method = |name: &str| name != "before" && !name.contains(" old");
    let old = |row: &str| table.number(row, "old problems");
    let [_, most] = range(&table.column("old problems", method)?)?;
    numbers.add("old-before", old("before")?);
    numbers.add("old-most", most);
    numbers.add("old-mixed", old(&new_token::mixed())?);
    numbers.add("new-lora", table.number("LoRA", "new problems")?);
    numbers.add("new-mixed", table.number(&new_token::mixed(), "new problems")?);
    numbers.add("mixed-one-in", new_token::OLD_IN);
    let table = Table::of("new-token.md")?;
    let [_, with, alone] = new_token::TOKENS.map(|(name, _)| name);
    numbers.add("row-numbers", table.number(alone, "numbers")?);
    numbers.add("row-with", table.number(with, "new problems")?);
    numbers.add("row-alone", table.number(alone, "new problems")?);
    numbers.add("row-alone-old", table.number(alone, "old problems")?);
    Ok(())
}
