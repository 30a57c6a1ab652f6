//! `lowrank resize`.

use std::path::PathBuf;

use ::inspect::{Folder, Weights, resize};
use anyhow::Result;

use crate::fits::ResultArgs;
use crate::output::Progress;

/// The options of `lowrank resize`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The adapter: a folder of PEFT's, LoRA or VeRA
    #[arg(value_name = "DIR")]
    adapter: PathBuf,
    #[command(flatten)]
    result: ResultArgs,
    /// Its model, for VeRA, which does not say how wide its weights are, and for PiSSA and OLoRA, which took a part out of them
    #[arg(long, value_name = "DIR|FILE.gguf|HUB_ID")]
    model: Option<String>,
}

/// `lowrank resize`: the best approximation of each ΔW, from its core.
pub fn main(args: &Args) -> Result<()> {
    let budget = args.result.budget.needed()?;
    args.result.begin()?;
    let model = args.model.as_ref().map(llama::load::open).transpose()?;
    let weights = model.map(Weights::new);
    let folder = Folder::open(&args.adapter, weights.as_ref())?;
    let bar = Progress::new(folder.modules.len(), "resize");
    let dtype = args.result.dtype.unwrap_or(folder.dtype);
    let fitted = resize(&folder, budget, dtype, |_| bar.advance(String::new()))?;
    bar.finish();
    args.result.write(fitted, &folder.config)
}
