//! The bare matrix products, ours and PEFT, in turns on the same machine: ratios of medians.
//!
//! ```text
//! cargo run --release -p lowrank-benches --bin side-by-side -- --python PYTHON [--model FILE.gguf] [--runs 15]
//!     [--only TEXT]
//! ```
//!
//! PYTHON is an interpreter with tests/parity/requirements.txt installed (`cargo xtask parity` makes one in
//! .cache/venv). Each side is a process of its own that speaks the line protocol of benches/peers/README.md; this
//! program is the driver, and with `--serve` one of the sides.

mod driver;
mod floor;
mod serve;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

/// Run our LoRA and PEFT's in turns and print the ratios of their times and peak memories.
#[derive(Parser)]
struct Args {
    /// Python with torch, peft and transformers
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// SmolLM2-135M-Instruct as GGUF; without it only layers are measured
    #[arg(long, env = "LOWRANK_SMOLLM2")]
    model: Option<PathBuf>,
    /// Timed runs of each side
    #[arg(long, default_value_t = 15)]
    runs: usize,
    /// Threads of each side
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Measure only the rows whose name contains this, for example `step` or `f64`
    #[arg(long, default_value = "")]
    only: String,
    /// Be one of the sides
    #[arg(long, hide = true)]
    serve: Option<serve::Side>,
    #[command(flatten)]
    shape: serve::Shape,
}

fn main() -> Result<()> {
    let args = Args::parse();
    match args.serve {
        Some(side) => {
            // This thread is one of them, so that nothing has to be handed over to the first.
            let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads);
            pool.use_current_thread().build_global()?;
            serve::serve(side, args.shape, args.model.as_deref())
        }
        None => driver::drive(&args),
    }
}
