//! `lowrank merge`.

use std::path::{Path, PathBuf};

use adapter::Adapter;
use anyhow::Result;
use finetune::{Out, RUN};
use llama::load::Opened;
use llama::{Adapters, MergeReport, StorageDtype};
use methods::{AdapterUser, Trained};
use tensor_file::Staging;

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
    /// Let the result take the place of the one that an earlier merge wrote to --out
    #[arg(long)]
    overwrite: bool,
    /// Take the options of this run.toml, which every --out has; what is said here too is taken from here
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Storage type [default: the model's own; f32 for a quantised one]
    #[arg(long)]
    dtype: Option<StorageDtype>,
    /// Threads that compute [default: one for each core]
    #[arg(long)]
    threads: Option<usize>,
}

/// `lowrank merge`: W + ΔW in `f64`, rounded once.
pub fn main(args: &Args, run_toml: &str) -> Result<()> {
    threads::set(args.threads)?;
    let out = Out { folder: &args.out, command: "merge", ours: llama::save::is_written };
    let inputs = [("--model", Path::new(&args.model)), ("--adapter", &args.adapter)];
    out.check(&inputs, args.overwrite)?;
    let mut model = llama::load::open(&args.model)?;
    let config = model.config.clone();
    let Trained { adapters, changes } =
        Trained::load(&config, &args.adapter, |name| model.matrix(name))?;
    let changed = changes.names().map(str::to_owned).collect();
    model.change(changes)?;
    adapters.visit(Merge { args, model, changed, run_toml })
}

struct Merge<'a> {
    args: &'a Args,
    model: Opened,
    /// What is not merged but replaced or added to.
    changed: Vec<String>,
    run_toml: &'a str,
}

impl AdapterUser<f64> for Merge<'_> {
    type Output = Result<()>;

    fn with<A: Adapter<f64>>(self, adapters: &Adapters<A>) -> Result<()> {
        let Self { args, mut model, changed, run_toml } = self;
        let dtype = args.dtype.unwrap_or(model.dtype);
        let mut files = Staging::replacing(&args.out)?;
        let MergeReport { numbers, lost, unchanged } =
            llama::merge(&mut model, adapters, dtype, &mut files)?;
        files.write(RUN, run_toml.as_bytes())?;
        files.commit()?;
        say!(
            "merged {numbers} numbers into {} as {dtype}: rounding lost {} of ΔW (Frobenius norm); {} of its entries left \
         their weight as it was",
            args.out.display(),
            output::percent(lost),
            output::percent(unchanged),
        );
        if !changed.is_empty() {
            say!("changed as the adapter has it: {}", changed.join(", "));
        }
        Ok(())
    }
}
