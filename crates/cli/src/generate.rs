//! `lowrank generate`.

use std::path::PathBuf;

use adapter::{Adapter, Full};
use anyhow::{Context, Result, bail};
use finetune::Words;
use llama::random::{Purpose, random};
use llama::{Adapters, Llama, Sampling};
use methods::{AdapterUser, Trained};

use crate::source::Source;
use crate::threads;

/// The options of `lowrank generate`.
#[derive(clap::Args, Clone, Debug)]
#[command(allow_negative_numbers = true)]
pub struct Args {
    /// Model: a Hugging Face folder, a .gguf file, or a hub id [default: the embedded model]
    #[arg(long, value_name = "DIR|FILE.gguf|HUB_ID")]
    model: Option<String>,
    /// An adapter to put on the model: a folder of PEFT's, LoRA, DoRA or VeRA
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// Text to continue; for the embedded model digits and '>', as in 31415926>
    #[arg(long)]
    prompt: String,
    /// What the chat template is told before the prompt
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    system: Option<String>,
    /// Give the prompt to the model as it is, not in its chat template
    #[arg(long)]
    raw: bool,
    /// The date for a chat template that writes today's, as in 2024-07-26 [default: today]
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with = "raw")]
    date: Option<String>,
    /// At most this many new tokens
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// 0 takes the likeliest token; above, tokens are drawn at random
    #[arg(long, default_value_t = 0.0)]
    temperature: f64,
    /// Draw from the fewest likeliest tokens whose probabilities exceed this together; needs a --temperature above 0
    #[arg(long, default_value_t = 1.0, value_name = "P")]
    top_p: f64,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads that compute [default: one for each core]
    #[arg(long)]
    threads: Option<usize>,
}

/// `lowrank generate`.
pub fn main(args: &Args) -> Result<()> {
    threads::set(args.threads)?;
    if args.top_p < 1.0 && args.temperature == 0.0 {
        bail!("--top-p is for drawing at random: give a --temperature above 0, such as 1");
    }
    let Source { mut model, mut words, .. } = Source::<f32>::load(args.model.as_deref())?;
    if let Some(date) = &args.date {
        words.set_date(date).context("--date")?;
    }
    let Some(folder) = &args.adapter else {
        return Generate { args, model: &model, words: &words }.with(&Adapters::<Full>::none());
    };
    let Trained { adapters, changes } =
        Trained::load(&model.config, folder, |name| model.matrix(name))?;
    model.change(&changes)?;
    adapters.visit(Generate { args, model: &model, words: &words })
}

struct Generate<'a> {
    args: &'a Args,
    model: &'a Llama<f32>,
    words: &'a Words,
}

impl AdapterUser<f32> for Generate<'_> {
    type Output = Result<()>;

    fn with<A: Adapter<f32>>(self, adapters: &Adapters<A>) -> Result<()> {
        let Self { args, model, words } = self;
        let prompt = match args.raw {
            true => words.encode_open(&args.prompt)?,
            false => words.prompt(args.system.as_deref(), &args.prompt)?,
        };
        let count = match args.model {
            Some(_) => args.tokens,
            // The embedded model was never taught to stop.
            None => args.tokens.min(llama::tiny::DIGITS),
        };
        let &Args { temperature, top_p, .. } = args;
        let sampling = Sampling { count, temperature, top_p, stop: words.stop() };
        let mut rng = random(args.seed, Purpose::Sampling, 0);
        let (mut tokens, mut shown) = (Vec::new(), String::new());
        let mut failed = None;
        let mut show = |tokens: &[u32], is_last: bool| match words.decode(tokens) {
            // A character can be spread over several tokens: wait until it is whole, or nothing more comes.
            Ok(text) if is_last || !text.ends_with('\u{fffd}') => {
                let new = text.strip_prefix(&shown).unwrap_or_default();
                crate::output::say(format_args!("{new}"));
                shown = text;
            }
            Ok(_) => {}
            Err(error) => failed = Some(error),
        };
        model.generate(adapters, &prompt, &sampling, &mut rng, |token| {
            tokens.push(token);
            show(&tokens, false);
        })?;
        show(&tokens, true);
        say!("");
        let (length, context) = (prompt.len() + tokens.len(), model.config.max_position_embeddings);
        if length > context {
            tell!(
                "warning: prompt and answer have {length} tokens, more than the model's context of {context}: what comes after \
                 it means little"
            );
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}
