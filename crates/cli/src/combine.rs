//! `lowrank combine`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use ::inspect::{Folder, Weights, combine};
use anyhow::Result;
use llama::StorageDtype;

use crate::fits::ResultArgs;
use crate::output::Progress;

/// The options of `lowrank combine`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Adapters and their weights, 1 where none is given: style:0.7 facts:0.3
    #[arg(value_name = "DIR[:WEIGHT]", required = true)]
    adapters: Vec<Term>,
    #[command(flatten)]
    result: ResultArgs,
    /// Their model, for VeRA, which does not say how wide its weights are, and for PiSSA and OLoRA, which took a part out of them
    #[arg(long, value_name = "DIR|FILE.gguf|HUB_ID")]
    model: Option<String>,
}

/// A folder, and how much of it to take.
#[derive(Clone, Debug, PartialEq)]
struct Term {
    folder: PathBuf,
    weight: f64,
}

impl FromStr for Term {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        // A folder may have a colon in its own name.
        let Some((folder, weight)) = text.rsplit_once(':').filter(|_| !Path::new(text).is_dir())
        else {
            return Ok(Self { folder: text.into(), weight: 1.0 });
        };
        let weight: f64 = weight.parse().map_err(|_| format!("{weight:?} is no number"))?;
        Ok(Self { folder: folder.into(), weight })
    }
}

/// `lowrank combine`: exactly by stacking, or the best approximation of a lower rank.
pub fn main(args: &Args) -> Result<()> {
    let budget = args.result.budget.budget();
    args.result.begin()?;
    let model = args.model.as_ref().map(llama::load::open).transpose()?;
    let weights = model.map(Weights::new);
    let open = |term: &Term| Folder::open(&term.folder, weights.as_ref());
    let folders = args.adapters.iter().map(open).collect::<::inspect::Result<Vec<_>>>()?;
    let all_hold = folders.iter().map(|folder| folder.dtype).reduce(StorageDtype::join);
    let dtype = args.result.dtype.or(all_hold).unwrap_or(StorageDtype::F32);
    let terms: Vec<_> =
        args.adapters.iter().zip(&folders).map(|(term, folder)| (term.weight, folder)).collect();
    let modules = folders.iter().map(|folder| folder.modules.len()).max().unwrap_or(0);
    let bar = Progress::new(modules, "combine");
    let (fitted, config) = combine(&terms, budget, dtype, |_| bar.advance(String::new()))?;
    bar.finish();
    args.result.write(fitted, &config)
}
