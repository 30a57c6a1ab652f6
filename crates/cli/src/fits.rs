//! What `extract`, `resize` and `combine` share: how much of ΔW to keep, and what is said of what was written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use inspect::{Budget, Fit, Fitted, check_empty};
use llama::StorageDtype;
use peft::LoraConfig;
use serde_json::json;

use crate::output::{self, Format};
use crate::threads;

/// How much of each ΔW to keep.
#[derive(clap::Args, Clone, Copy, Debug)]
#[group(multiple = false)]
pub struct BudgetArgs {
    /// The largest rank of a module
    #[arg(long)]
    rank: Option<usize>,
    /// Keep this share of ‖ΔW‖², each module at the smallest rank that does: 0.99 leaves an error of at most 10% of ‖ΔW‖
    #[arg(long)]
    energy: Option<f64>,
}

impl BudgetArgs {
    /// What was asked for, if anything.
    pub fn budget(self) -> Option<Budget> {
        self.rank.map(Budget::Rank).or(self.energy.map(Budget::Energy))
    }

    /// # Errors
    /// Neither was given.
    pub fn needed(self) -> Result<Budget> {
        let missing = || anyhow::anyhow!("how much to keep is not said: give --rank or --energy");
        let budget = self.budget().ok_or_else(missing)?;
        budget.check()?;
        Ok(budget)
    }
}

/// What is written, and what is said of it.
#[derive(clap::Args, Clone, Debug)]
pub struct ResultArgs {
    #[command(flatten)]
    pub budget: BudgetArgs,
    /// Folder to write; must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Storage type [default: that of what it is made from; of several the smallest that holds the numbers of all]
    #[arg(long)]
    pub dtype: Option<StorageDtype>,
    /// A row for each module, however many there are
    #[arg(long)]
    all: bool,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Threads that compute [default: one for each core]
    #[arg(long)]
    threads: Option<usize>,
}

impl ResultArgs {
    /// Is there a place for the result? And the threads.
    ///
    /// # Errors
    /// Something is there already, or there is to be no thread.
    pub fn begin(&self) -> Result<()> {
        check_empty(&self.out)?;
        threads::set(self.threads)?;
        Ok(())
    }

    /// Write the adapter, then say what it is and how far off.
    ///
    /// # Errors
    /// The disk is full or read-only.
    pub fn write(&self, fitted: Fitted, config: &LoraConfig) -> Result<()> {
        let Self { out, format, all, .. } = self;
        write(fitted, config, out, *format, *all)
    }
}

/// Above this many modules a table has a row for each kind.
pub const MANY: usize = 14;

/// `model.layers.3.self_attn.q_proj` → `q_proj`.
pub fn kind(module: &str) -> &str {
    module.rsplit('.').next().unwrap_or(module)
}

/// Things by the kind of their module, `name` says which: a row of a table each. Or one for each module.
pub fn groups<'a, R>(
    all: bool,
    things: &'a [R],
    name: impl Fn(&'a R) -> &'a str,
) -> Vec<(String, Vec<&'a R>)> {
    if all || things.len() <= MANY {
        return things.iter().map(|thing| (name(thing).to_owned(), vec![thing])).collect();
    }
    let mut kinds = BTreeMap::<&str, Vec<&R>>::new();
    for thing in things {
        kinds.entry(kind(name(thing))).or_default().push(thing);
    }
    kinds.into_iter().map(|(kind, group)| (format!("{kind} ×{}", group.len()), group)).collect()
}

fn write(fitted: Fitted, config: &LoraConfig, out: &Path, format: Format, all: bool) -> Result<()> {
    let (fits, dtype) = (fitted.fits.clone(), fitted.dtype);
    let numbers: usize = fitted.modules.values().map(|lora| lora.a.len() + lora.b.len()).sum();
    fitted.write(out, config)?;
    let [norm, error] = Fit::total(&fits);
    match format {
        Format::Json => {
            for fit in &fits {
                let Fit { module, rank, norm, error, least } = fit;
                say!(
                    "{}",
                    json!({"module": module, "rank": rank, "norm": norm, "error": error, "least_error": least})
                );
            }
            let total = json!({"out": out.display().to_string(), "dtype": dtype.name(), "numbers": numbers, "norm": norm, "error": error});
            say!("{total}");
        }
        Format::Table => {
            let kept: Vec<_> = fits.iter().filter(|fit| fit.rank > 0).cloned().collect();
            say!("{}", table(&kept, all));
            let left_out = fits.len() - kept.len();
            if left_out > 0 {
                say!("left out, since their ΔW is 0: {left_out} of {} modules", fits.len());
            }
            say!(
                "wrote {} numbers as {dtype} into {}: off by {} of ΔW (Frobenius norm)",
                output::count(numbers),
                out.display(),
                share(error, norm),
            );
        }
    }
    Ok(())
}

/// How far each is off, and how far any matrix of its rank would be.
fn table(fits: &[Fit], all: bool) -> comfy_table::Table {
    let row = |(name, group): (String, Vec<&Fit>)| {
        let ranks = group.iter().map(|fit| fit.rank);
        let (low, high) = (ranks.clone().min().unwrap_or(0), ranks.max().unwrap_or(0));
        let rank = if low == high { format!("{low}") } else { format!("{low} to {high}") };
        let [norm, error] = Fit::total(group.iter().copied());
        let least = group.iter().fold(0.0, |least: f64, fit| least.hypot(fit.least));
        vec![name, rank, format!("{norm:.4}"), share(error, norm), share(least, norm)]
    };
    let groups = groups(all, fits, |fit| fit.module.as_str());
    let rows: Vec<_> = groups.into_iter().map(row).collect();
    output::lines(&["module", "rank", "‖ΔW‖", "off by", "at least"], &rows)
}

/// A part of a norm: percent where a person reads that, else a power of ten.
fn share(part: f64, whole: f64) -> String {
    let share = if whole > 0.0 { part / whole } else { 0.0 };
    if share > 0.0 && share < 0.0005 { format!("{share:.0e}") } else { output::percent(share) }
}
