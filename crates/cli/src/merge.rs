//! `lowrank merge`.

use std::path::PathBuf;

use adapter::Adapter;
use anyhow::{Result, bail};
use llama::Adapters;
use llama::load::Checkpoint;
use llama::save::StorageDtype;
use methods::Trained;

use crate::output;
use crate::threads;

/// The options of `lowrank merge`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Model: a Hugging Face folder, a .gguf file, or a hub id
    #[arg(long, value_name = "DIR|FILE.gguf|HUB_ID")]
    model: String,
    /// The adapter to merge: a folder of PEFT's, LoRA or VeRA
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
    match Trained::load(&checkpoint.model, &args.adapter)? {
        Trained::Lora(adapters) => merge(args, checkpoint, &adapters),
        Trained::Vera(adapters) => merge(args, checkpoint, &adapters),
    }
}

fn merge<A: Adapter<f64>>(
    args: &Args,
    mut checkpoint: Checkpoint<f64>,
    adapters: &Adapters<A>,
) -> Result<()> {
    let dtype = args.dtype.unwrap_or(checkpoint.dtype);

    // What of ΔW is still there after rounding W + ΔW to the storage type?
    let (mut lost, mut whole): (f64, f64) = (0.0, 0.0);
    let (mut unchanged, mut count) = (0_usize, 0_usize);
    for ((layer, projection), adapter) in adapters.iter() {
        let weight = checkpoint.model.layers[layer].weight_mut(projection);
        let delta = adapter.delta_weight(weight.view())?;
        for (weight, delta) in weight.iter_mut().zip(&delta) {
            let merged = *weight + delta;
            let stored = dtype.round(merged);
            lost += (stored - merged).powi(2);
            whole += delta * delta;
            unchanged += usize::from(*delta != 0.0 && stored == *weight);
            count += 1;
            *weight = merged;
        }
    }
    if !(whole.is_finite() && lost.is_finite()) {
        bail!("the merged weights are not finite in {dtype}: choose another --dtype");
    }
    llama::save::save_checkpoint(&checkpoint, dtype, &args.out)?;
    say!(
        "merged {count} numbers into {} as {dtype}: rounding lost {} of ΔW (Frobenius norm); {} of its entries left \
         their weight as it was",
        args.out.display(),
        output::percent(if whole > 0.0 { (lost / whole).sqrt() } else { 0.0 }),
        output::percent(f64::from(unchanged as u32) / f64::from(count.max(1) as u32)),
    );
    Ok(())
}
