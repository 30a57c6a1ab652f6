//! Of SmolLM2: its weights, and the recorded runs.

use anyhow::{Context, Result};
use indicatif::HumanCount;

use super::read::Table;
use crate::story;
use book::numbers::{Numbers, range};

pub fn add(numbers: &mut Numbers) -> Result<()> {
    let weights = Table::of("weights-smollm2.md")?;
    let all = Table::of("costs.md")?.number("SmolLM2-135M", "numbers")?;
    let matrices: f64 = weights.column("numbers", |_| true)?.iter().sum();
    numbers.add("vectors-share", format!("{:.2}", 100.0 * (1.0 - matrices / all)));
    numbers.add("vocabulary-share", format!("{:.0}", weights.number("embedding", "share")?));
    let spectra = Table::of("spectra-smollm2.md")?;
    let [least, most] = range(&spectra.column("error of rank 8", |name| name != "random")?)?;
    numbers.add("smollm2-error-least", format!("{least:.0}"));
    numbers.add("smollm2-error-most", format!("{most:.0}"));

    let about = story::about()?;
    let held_out = about.rows / 10;
    numbers.add("story-rows", about.rows);
    numbers.add("story-steps", about.steps);
    numbers.add("story-held-out", held_out);
    numbers.add("story-point", 100 / held_out);
    let results = Table::of("story-results.md")?;
    let trained = |row: &str| results.number(row, "trained");
    numbers.add("story-vera", HumanCount((trained("full")? / trained("VeRA")?).round() as u64));
    numbers.add("story-before-loss", format!("{:.2}", results.number("before", "held-out loss")?));
    let method = |name: &str| name != "before";
    let [least, _] = range(&results.column("exact answers", method)?)?;
    numbers.add("story-right-before", results.number("before", "exact answers")?);
    numbers.add("story-right-least", least);
    let full = results.number("full", "η")?;
    let [lowest, _] = range(&results.column("η", |name| method(name) && name != "full")?)?;
    numbers.add("story-full-rate", full);
    numbers.add("story-adapter-rate", lowest);
    let sweep = Table::of("story-sweep.md")?;
    let at = sweep.number("full", "0.01").context("full fine-tuning was tried at 0.01")?;
    numbers.add("story-full-destroyed", format!("{at:.0}"));
    Ok(())
}
