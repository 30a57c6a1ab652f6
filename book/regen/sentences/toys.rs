//! Of what the examples print.

use anyhow::{Context, Result};
use live::Experiment;
use live::landscape::{Landscape, Question, Settings};

use super::read::{after, number, text};
use book::numbers::{Numbers, range};

pub fn add(numbers: &mut Numbers) -> Result<()> {
    let activations = text("lora-fa-activations.txt")?;
    let with_dropout = activations.lines().find_map(|line| line.strip_suffix(" with dropout"));
    let ratio = with_dropout.and_then(|line| line.split_whitespace().next_back());
    numbers.add("fa-dropout-ratio", ratio.context("a line with dropout")?);
    vera(numbers)?;
    lora_plus(numbers)?;
    dora(numbers)
}

/// The words of a line that can be read as numbers.
fn row(line: &str) -> Vec<f64> {
    line.split_whitespace().filter_map(number).collect()
}

fn vera(numbers: &mut Numbers) -> Result<()> {
    let text = text("vera-checkpoint.txt")?;
    let full =
        text.lines().map(row).find(|row| row.len() == 4 && row[0] == row[2] && row[0] == 64.0);
    let full = full.context("a row of rank 64")?;
    numbers.add("vera-high-rank", full[2]);
    numbers.add("vera-high-rank-trained", full[1]);
    numbers.add("lora-high-rank-trained", indicatif::HumanCount(full[3] as u64));
    let bytes = |words: &str| -> Result<f64> {
        let line = text.lines().find(|line| line.contains(words)).context("a line")?;
        row(line).pop().context("its bytes")
    };
    let named = 100.0 * (1.0 - bytes("of these the numbers")? / bytes("b, d and the key")?);
    numbers.add("vera-names", format!("{named:.0}"));
    Ok(())
}

fn lora_plus(numbers: &mut Numbers) -> Result<()> {
    let text = text("lora-plus-rates.txt")?;
    let pair = after(&text, "the best pair: ")?;
    numbers.add("plus-best", format!("{:.2}", pair / after(&text, "the best single rate: ")?));
    // Behind the rate of A; what blew up is infinite.
    let loss = |cell: &str| number(cell.trim_matches(['[', ']'])).unwrap_or(f64::INFINITY);
    let line =
        |line: &str| line.replace("> 1", ">1").split_whitespace().skip(1).map(loss).collect();
    let losses: Vec<Vec<f64>> = text.lines().skip(2).take(6).map(line).collect();
    let of = |i: usize, j: usize| losses.get(i).and_then(|row| row.get(j)).copied();
    let mut pairs = (0..6).flat_map(|i| (0..6).map(move |j| (i, j)));
    let best = pairs.find(|&(i, j)| of(i, j) == Some(pair));
    let (i, j) = best.context("the best pair is in the table")?;
    // Its neighbours have one of the two rates four times as high, or as low.
    let beside = [(i + 1, j), (i.wrapping_sub(1), j), (i, j + 1), (i, j.wrapping_sub(1))];
    let beside: Vec<f64> = beside.into_iter().filter_map(|(i, j)| of(i, j)).collect();
    numbers.add("plus-beside", format!("{:.1}", range(&beside)?[1] / pair));
    numbers.add("pairs", losses.len() * losses.len());
    // The page's rates lie half as far apart.
    let rates = 2 * losses.len() as i32 - 1;
    numbers.add("live-pairs", rates * rates);

    let mut landscape = Landscape::start(Settings { width: 32, tasks: 3 }, &[])?;
    let (mut pair, mut single) = (f64::INFINITY, f64::INFINITY);
    for (a, b) in (0..rates).flat_map(|a| (0..rates).map(move |b| (a, b))) {
        let [lr_a, lr_b] = [a, b].map(|place| 2f64.powi(place - rates));
        let loss = landscape.ask(Question { lr_a, lr_b })?.loss;
        pair = pair.min(loss);
        if a == b {
            single = single.min(loss);
        }
    }
    numbers.add("plus-narrow", format!("{:.2}", pair / single));
    Ok(())
}

fn dora(numbers: &mut Numbers) -> Result<()> {
    let text_of = text("dora-detached.txt")?;
    let rows: Vec<Vec<f64>> = text_of
        .lines()
        .filter_map(|line| line.split_once("z)"))
        .map(|(_, rest)| row(rest))
        .collect();
    let column = |from_the_left: usize| -> Result<Vec<f64>> {
        rows.iter()
            .map(|row| row.get(from_the_left).copied())
            .collect::<Option<_>>()
            .context("a row")
    };
    let [least, most] = range(&column(6)?)?;
    numbers.add("dora-missing-least", least);
    numbers.add("dora-missing-most", most);
    numbers.add("dora-lora-least", range(&column(0)?)?[0]);
    let costs = text("dora-costs.txt")?;
    let ratios = costs.lines().map(row).filter(|row| row.len() == 7);
    let ratios = ratios.filter_map(|row| row.last().copied()).collect::<Vec<_>>();
    let [least, most] = range(&ratios)?;
    numbers.add("dora-products-least", format!("{:.1}", 100.0 * (least - 1.0)));
    numbers.add("dora-products-most", format!("{:.1}", 100.0 * (most - 1.0)));
    Ok(())
}
