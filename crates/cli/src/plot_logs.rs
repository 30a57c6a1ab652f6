//! `lowrank plot`: the losses of runs, from their logs.

use std::path::PathBuf;

use anyhow::{Result, bail};
use finetune::{Entry, LOG};

use crate::output;
use crate::plot::{self, Curve};

/// The options of `lowrank plot`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Folders that `lowrank finetune --out` wrote
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// File to write
    #[arg(long, value_name = "FILE.svg", default_value = "loss.svg")]
    out: PathBuf,
    /// Each point is the mean of so many steps
    #[arg(long, default_value_t = 20)]
    window: usize,
}

/// `lowrank plot`: a picture, and a line of numbers for each run.
pub fn main(args: &Args) -> Result<()> {
    if args.window == 0 {
        bail!("--window is 0: a mean needs at least one step");
    }
    let (mut curves, mut rows) = (Vec::new(), Vec::new());
    for folder in &args.folders {
        let entries = Entry::read_all(folder)?;
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            bail!(
                "{}: no step is logged there (in {LOG}): was it written by lowrank finetune --out?",
                folder.display()
            );
        };
        let name = folder.display().to_string();
        let losses: Vec<f64> = entries.iter().map(|entry| entry.loss).collect();
        let held_out = entries.iter().filter_map(|entry| Some(entry.held_out?.loss));
        let best = held_out.fold(f64::INFINITY, f64::min);
        rows.push(vec![
            name.clone(),
            output::count(last.step + 1),
            format!("{:.4}", first.loss),
            format!("{:.4}", plot::running_mean(&losses, args.window).last().unwrap_or(&f64::NAN)),
            if best.is_finite() { format!("{best:.4}") } else { String::new() },
        ]);
        let values = plot::running_mean(&losses, args.window);
        curves.push(Curve { name, first: first.step, values });
    }
    let title = match args.window {
        1 => "Training loss".to_owned(),
        window => format!("Training loss (mean of {window} steps)"),
    };
    plot::lines(&args.out, &title, ["step", "loss"], &curves)?;
    let header = ["run", "steps", "first loss", "last loss", "best held-out loss"];
    say!("{}", output::table(&header, &rows));
    say!("plot: {}", args.out.display());
    Ok(())
}
