//! `lowrank generate`.

use std::path::PathBuf;

use adapter::{Adapter, Full};
use anyhow::Result;
use llama::random::{Purpose, random};
use llama::{Adapters, Llama, Sampling};
use methods::{AdapterUser, Trained};

use crate::source::{Source, Words};
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
    /// Give the prompt to the model as it is, not in its chat template
    #[arg(long)]
    raw: bool,
    /// At most this many new tokens
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// 0 takes the likeliest token; above, tokens are drawn at random
    #[arg(long, default_value_t = 0.0)]
    temperature: f64,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads that compute [default: one for each core]
    #[arg(long)]
    threads: Option<usize>,
}

/// `lowrank generate`.
pub fn main(args: &Args) -> Result<()> {
    threads::set(args.threads)?;
    let Source { model, words, .. } = Source::<f32>::load(args.model.as_deref())?;
    let generate = Generate { args, model: &model, words: &words };
    match &args.adapter {
        None => generate.with(&Adapters::<Full>::none()),
        Some(folder) => Trained::load(&model, folder)?.visit(generate),
    }
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
        let prompt =
            if args.raw { words.encode(&args.prompt)? } else { words.prompt(&args.prompt)? };
        let count = match args.model {
            Some(_) => args.tokens,
            // The embedded model was never taught to stop.
            None => args.tokens.min(llama::tiny::DIGITS),
        };
        let sampling = Sampling { count, temperature: args.temperature, stop: words.stop() };
        let mut rng = random(args.seed, Purpose::Sampling, 0);
        let (mut tokens, mut shown) = (Vec::new(), String::new());
        let mut failed = None;
        model.generate(adapters, &prompt, &sampling, &mut rng, |token| {
            tokens.push(token);
            match words.decode(&tokens) {
                // A character can be spread over several tokens: wait until it is whole.
                Ok(text) if !text.ends_with('\u{fffd}') => {
                    let new = text.strip_prefix(&shown).unwrap_or_default();
                    crate::output::say(format_args!("{new}"));
                    shown = text;
                }
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        })?;
        say!("");
        failed.map_or(Ok(()), Err)
    }
}
