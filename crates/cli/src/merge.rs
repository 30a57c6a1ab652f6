//! `lowrank merge`.

use std::path::PathBuf;

use adapter::Adapter;
use anyhow::Result;
use llama::{Adapters, Checkpoint, MergeReport, StorageDtype};
use methods::{AdapterUser, Trained};

use crate::output;
use crate::threads;

/// The options of `lowrank merge`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Model: a Hugging Face folder, a .gguf file, or a hub id
    #[arg(long, value_name = "DIR|FILE.gguf|HUB_ID")]
    model: String,
    /// The adapter to merge: a folder of PEFT's, LoRA, DoRA or VeRA
    #[arg(long, value_name = "DIR")]
    adapter: PathBuf,
    /// Folder to write; must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Storage type [default: the model's own; f32 for a quantised one]
    #[arg(long)]
    dtype: Option<StorageDtype>,
    /// Threads that compute [default: one for each core]
    #[arg(long)]
    threads: Option<usize>,
}

/// `lowrank merge`: W + ΔW in `f64`, rounded once.
pub fn main(args: &Args) -> Result<()> {
    threads::set(args.threads)?;
    let checkpoint = llama::load::load::<f64>(&args.model)?;
    let trained = Trained::load(&checkpoint.model, &args.adapter)?;
    trained.visit(Merge { args, checkpoint })
}

struct Merge<'a> {
    args: &'a Args,
    checkpoint: Checkpoint<f64>,
}

impl AdapterUser<f64> for Merge<'_> {
    type Output = Result<()>;

    fn with<A: Adapter<f64>>(self, adapters: &Adapters<A>) -> Result<()> {
        let Self { args, mut checkpoint } = self;
        let dtype = args.dtype.unwrap_or(checkpoint.dtype);
        let MergeReport { numbers, lost, unchanged } =
            llama::merge(&mut checkpoint.model, adapters, dtype)?;
        llama::save::save_checkpoint(&checkpoint, dtype, &args.out)?;
        say!(
            "merged {numbers} numbers into {} as {dtype}: rounding lost {} of ΔW (Frobenius norm); {} of its entries left \
         their weight as it was",
            args.out.display(),
            output::percent(lost),
            output::percent(unchanged),
        );
        Ok(())
    }
}
