//! `lowrank extract`.

use std::path::PathBuf;

use ::inspect::{Outside, check_empty, extract};
use anyhow::Result;
use llama::{Projection, StorageDtype};
use peft::LoraConfig;

use crate::fits::{self, BudgetArgs};
use crate::output::{self, Format, Progress};
use crate::threads;

/// The options of `lowrank extract`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The model before: a Hugging Face folder, a .gguf file, or a hub id
    #[arg(long, value_name = "DIR|FILE.gguf|HUB_ID")]
    base: String,
    /// The model after, of the same architecture
    #[arg(long, value_name = "DIR|FILE.gguf|HUB_ID")]
    tuned: String,
    #[command(flatten)]
    budget: BudgetArgs,
    /// Folder to write; must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Projections to compare [default: all seven]
    #[arg(long, value_delimiter = ',')]
    targets: Vec<Projection>,
    /// Storage type [default: the tuned model's own; f32 for a quantised one]
    #[arg(long)]
    dtype: Option<StorageDtype>,
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

/// `lowrank extract`: the best approximation of W′ − W.
pub fn main(args: &Args) -> Result<()> {
    let budget = args.budget.needed()?;
    check_empty(&args.out)?;
    threads::set(args.threads)?;
    let base = llama::load::load::<f64>(&args.base)?.model;
    let tuned = llama::load::load::<f64>(&args.tuned)?;
    let dtype = args.dtype.unwrap_or(tuned.dtype);
    let mut targets = args.targets.clone();
    if targets.is_empty() {
        targets.extend(Projection::ALL);
    }
    let bar = Progress::new(base.config.num_hidden_layers * targets.len(), "extract");
    let seen = |module: &str| {
        bar.advance(module.to_owned());
    };
    let (fitted, outside) = extract(&base, &tuned.model, &targets, budget, dtype, seen)?;
    bar.finish();
    let config = LoraConfig {
        target_modules: targets.iter().map(ToString::to_string).collect(),
        base_model_name_or_path: Some(args.base.clone()),
        task_type: Some("CAUSAL_LM".to_owned()),
        ..LoraConfig::default()
    };
    fits::write(fitted, &config, &args.out, args.format, args.all)?;
    if !outside.is_empty() {
        eprintln!("note: these differ too and are not in the adapter: {}", named(&outside));
    }
    Ok(())
}

/// The first few, and how many more.
fn named(outside: &[Outside]) -> String {
    const SHOWN: usize = 5;
    let one = |Outside { name, relative }: &Outside| match relative {
        Some(relative) => format!("{name} (by {})", output::percent(*relative)),
        None => format!("{name} (another shape, or only in one)"),
    };
    let mut text: Vec<String> = outside.iter().take(SHOWN).map(one).collect();
    if outside.len() > SHOWN {
        text.push(format!("and {} more", outside.len() - SHOWN));
    }
    text.join(", ")
}
