//! `lowrank resize`.

use std::path::PathBuf;

use ::inspect::{Folder, check_empty, resize, weights};
use anyhow::Result;
use llama::StorageDtype;

use crate::fits::{self, BudgetArgs};
use crate::output::{Format, Progress};
use crate::threads;

/// The options of `lowrank resize`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The adapter: a folder of PEFT's, LoRA or VeRA
    #[arg(value_name = "DIR")]
    adapter: PathBuf,
    #[command(flatten)]
    budget: BudgetArgs,
    /// Folder to write; must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Its model, for VeRA: the adapter alone does not say how wide its weights are
    #[arg(long, value_name = "DIR|FILE.gguf|HUB_ID")]
    model: Option<String>,
    /// Storage type [default: the adapter's own]
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

/// `lowrank resize`: the best approximation of each ΔW, from its core.
pub fn main(args: &Args) -> Result<()> {
    let budget = args.budget.needed()?;
    check_empty(&args.out)?;
    threads::set(args.threads)?;
    let model = args.model.as_ref().map(llama::load::load::<f64>).transpose()?;
    let weights = model.as_ref().map(|checkpoint| weights(&checkpoint.model));
    let folder = Folder::open(&args.adapter, weights.as_ref())?;
    let bar = Progress::new(folder.modules.len(), "resize");
    let dtype = args.dtype.unwrap_or(folder.dtype);
    let fitted = resize(&folder, budget, dtype, |_| bar.advance(String::new()))?;
    bar.finish();
    fits::write(fitted, &folder.config, &args.out, args.format, args.all)
}
