//! `lowrank inspect`.

use std::path::{Path, PathBuf};

use ::inspect::{Folder, ModuleReport, Similarity, Weights, inspect, similarity};
use anyhow::{Result, bail};

use crate::fits::kind;
use crate::inspect_report::{json, median, similarity_json, similarity_table, table};
use crate::output::{Format, Progress};
use crate::plot::{self, Curve};
use crate::threads;

/// The options of `lowrank inspect`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The adapter: a folder of PEFT's, LoRA, DoRA or VeRA
    #[arg(value_name = "DIR")]
    adapter: PathBuf,
    /// Another one, to be compared with it
    #[arg(value_name = "DIR2")]
    second: Option<PathBuf>,
    /// Its model: then norms are relative to W's too, and what a merge in bf16 would lose is shown. DoRA, VeRA, PiSSA
    /// and OLoRA need it
    #[arg(long, value_name = "DIR|FILE.gguf|HUB_ID")]
    model: Option<String>,
    /// A row for each module, however many there are
    #[arg(long)]
    all: bool,
    /// What to print; json has each module's singular values
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Draw the singular values
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Threads that compute [default: one for each core]
    #[arg(long)]
    threads: Option<usize>,
}

/// `lowrank inspect`.
pub fn main(args: &Args) -> Result<()> {
    threads::set(args.threads)?;
    let model = args.model.as_ref().map(llama::load::open).transpose()?;
    let weights = model.map(Weights::new);
    let paths = || std::iter::once(&args.adapter).chain(&args.second);
    let open = |path: &PathBuf| Folder::open(path, weights.as_ref());
    let folders = paths().map(open).collect::<::inspect::Result<Vec<_>>>()?;
    let reports =
        folders.iter().map(|folder| look(folder, weights.as_ref())).collect::<Result<Vec<_>>>()?;
    let similarities = match &folders[..] {
        [first, second] => compare(first, second)?,
        _ => Vec::new(),
    };
    if let Some(path) = &args.svg {
        draw(path, &folders, &reports)?;
    }
    for (folder, reports) in folders.iter().zip(&reports) {
        match args.format {
            Format::Table => table(folder, reports, args.all),
            Format::Json => json(folder, reports),
        }
    }
    match args.format {
        _ if similarities.is_empty() => {}
        Format::Table => similarity_table(&similarities, args.all),
        Format::Json => similarities.iter().for_each(similarity_json),
    }
    Ok(())
}

fn look(folder: &Folder, weights: Option<&Weights>) -> Result<Vec<ModuleReport>> {
    let bar = Progress::new(folder.modules.len(), "inspect");
    let reports = inspect(folder, weights, |_| bar.advance(String::new()))?;
    bar.finish();
    Ok(reports)
}

/// Of each module that both have.
fn compare(first: &Folder, second: &Folder) -> Result<Vec<Similarity>> {
    let (one, two) = (first.factors()?, second.factors()?);
    let common: Vec<_> = one.keys().filter(|module| two.contains_key(*module)).collect();
    if common.is_empty() {
        let [first, second] = [first, second].map(|folder| folder.path.display());
        bail!("{first} and {second} have no module in common: there is nothing to compare");
    }
    let compare = |module: &String| Ok(similarity(module, &one[module], &two[module])?);
    common.into_iter().map(compare).collect()
}

/// One adapter: a curve for each kind of module. Two: a curve for each of them.
fn draw(path: &Path, folders: &[Folder], reports: &[Vec<ModuleReport>]) -> Result<()> {
    let curve = |name: String, group: &[&ModuleReport]| {
        let longest = group.iter().map(|report| report.singular_values.len()).max().unwrap_or(0);
        let at = |k| group.iter().filter_map(|r| r.singular_values.get(k).copied()).collect();
        let values = (0..longest).map(|k| median(at(k)).unwrap_or(0.0)).collect();
        Curve { name, first: 1, values }
    };
    let curves: Vec<Curve> = match reports {
        [one] => {
            let mut kinds: Vec<&str> = one.iter().map(|report| kind(&report.module)).collect();
            kinds.sort_unstable();
            kinds.dedup();
            let of = |name: &str| -> Vec<&ModuleReport> {
                one.iter().filter(|report| kind(&report.module) == name).collect()
            };
            kinds.into_iter().map(|name| curve(name.to_owned(), &of(name))).collect()
        }
        both => {
            let name = |folder: &Folder| folder.path.display().to_string();
            let each = folders.iter().zip(both);
            each.map(|(folder, all)| curve(name(folder), &Vec::from_iter(all))).collect()
        }
    };
    if !curves.iter().any(|curve| curve.values.iter().any(|value| *value > 0.0)) {
        bail!("ΔW is 0 everywhere: there is nothing to draw");
    }
    let axes = ["number of the singular value", "σ of ΔW, median over the modules"];
    plot::lines(path, "Singular values of ΔW", axes, &curves)
}
