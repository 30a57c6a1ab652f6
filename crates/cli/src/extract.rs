//! `lowrank extract`.

use ::inspect::{Outside, extract};
use anyhow::Result;
use llama::Projection;
use peft::LoraConfig;

use crate::fits::ResultArgs;
use crate::output::{self, Progress};

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
    result: ResultArgs,
    /// Projections to compare [default: all]
    #[arg(long, value_delimiter = ',')]
    targets: Vec<Projection>,
}

/// `lowrank extract`: the best approximation of W′ − W.
pub fn main(args: &Args) -> Result<()> {
    let budget = args.result.budget.needed()?;
    args.result.begin()?;
    let mut base = llama::load::open(&args.base)?;
    let mut tuned = llama::load::open(&args.tuned)?;
    let dtype = args.result.dtype.unwrap_or(tuned.dtype);
    let all = if args.targets.is_empty() { &Projection::ALL[..] } else { &args.targets };
    let targets = base.config.holding(all)?;
    let bar = Progress::new(base.config.num_hidden_layers * targets.len(), "extract");
    let seen = |module: &str| {
        bar.advance(module.to_owned());
    };
    let (fitted, outside) = extract(&mut base, &mut tuned, &targets, budget, dtype, seen)?;
    bar.finish();
    let config = LoraConfig {
        target_modules: targets.iter().map(ToString::to_string).collect(),
        base_model_name_or_path: Some(args.base.clone()),
        task_type: Some("CAUSAL_LM".to_owned()),
        ..LoraConfig::default()
    };
    args.result.write(fitted, &config)?;
    if !outside.is_empty() {
        tell!("note: these differ too and are not in the adapter: {}", named(&outside));
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
