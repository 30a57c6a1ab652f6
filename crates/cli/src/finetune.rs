//! `lowrank finetune`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use adapter::{AdamVariant, AdamW, Decay, Full, Group, Real, Schedule, Sgd};
use anyhow::{Context, Result, bail};
use llama::data::{Dataset, Example};
use llama::state::{self, State};
use llama::tiny::Task;
use llama::{
    Adapters, AnyOptimizer, Batch, Llama, Projection, Report, Score, Settings, Train, Trainer,
};
use lora::{Lora, Scaling};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::method::{Method, Name, Options};
use crate::output::{self, Format};
use crate::source::{Source, Words};
use crate::threads;

/// The options of `lowrank finetune`.
#[derive(clap::Parser, Clone, Debug)]
#[command(allow_negative_numbers = true)]
pub struct Args {
    /// Model: a Hugging Face folder, a .gguf file, or a hub id [default: the embedded model and its task]
    #[arg(long, value_name = "DIR|FILE.gguf|HUB_ID")]
    pub model: Option<String>,
    /// Training data: .txt (cut into blocks of --seq-len) or .jsonl ({"prompt":…,"completion":…})
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Held-out data, of either kind
    #[arg(long, value_name = "FILE")]
    pub eval_data: Option<PathBuf>,
    #[arg(long, default_value_t = Name::Lora)]
    pub method: Name,
    /// r, the inner dimension of A and B
    #[arg(long, default_value_t = 8)]
    pub rank: usize,
    /// α, the numerator of the scale
    #[arg(long, default_value_t = 16.0)]
    pub alpha: f64,
    #[arg(long, value_enum, default_value = "alpha_over_r")]
    pub scaling: ScalingName,
    /// Projections to adapt, of q_proj k_proj v_proj o_proj gate_proj up_proj down_proj
    #[arg(long, value_delimiter = ',', default_value = "q_proj,v_proj")]
    pub targets: Vec<String>,
    /// Updates [default: 400 for the embedded model, 100 for others]
    #[arg(long)]
    pub steps: Option<usize>,
    /// Tokens in a block of a .txt
    #[arg(long, default_value_t = 192)]
    pub seq_len: usize,
    /// Sequences in a batch [default: 32 for the embedded model, 1 for others]
    #[arg(long)]
    pub batch: Option<usize>,
    /// Learning rate [default: 1e-3; for the embedded model 1e-2, and 2e-3 with --method full]
    #[arg(long)]
    pub lr: Option<f64>,
    #[arg(long, default_value_t = 0.0)]
    pub weight_decay: f64,
    /// Dropout on the adapters' inputs
    #[arg(long, default_value_t = 0.0)]
    pub dropout: f64,
    #[arg(long, value_enum, default_value = "adamw")]
    pub optimizer: OptimizerName,
    /// Which AdamW: torch.optim's, or the one transformers had
    #[arg(long, value_enum, default_value = "torch")]
    pub adam: AdamName,
    /// β₁,β₂
    #[arg(long, value_delimiter = ',', default_value = "0.9,0.999")]
    pub betas: Vec<f64>,
    /// ε [default: 1e-8; 1e-6 with --adam hf]
    #[arg(long)]
    pub eps: Option<f64>,
    /// What the learning rate does after the warm-up [default: cosine for the embedded model, constant for others]
    #[arg(long, value_enum)]
    pub schedule: Option<ScheduleName>,
    /// Steps in which the learning rate rises from 0
    #[arg(long, default_value_t = 0)]
    pub warmup: usize,
    /// Largest norm of the gradient [default: no limit]
    #[arg(long)]
    pub clip: Option<f64>,
    /// Batches whose gradients make one update
    #[arg(long, default_value_t = 1)]
    pub accumulate: usize,
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Take the data in its own order
    #[arg(long)]
    pub no_shuffle: bool,
    #[arg(long, value_enum, default_value = "f32")]
    pub dtype: Dtype,
    /// Threads of OpenBLAS [default: all cores]
    #[arg(long)]
    pub threads: Option<usize>,
    /// Start from this PEFT adapter; its rank, α and targets replace those given here
    #[arg(long, value_name = "PEFT_DIR", conflicts_with = "resume")]
    pub init_adapter: Option<PathBuf>,
    /// Go on with the run that wrote this folder
    #[arg(long, value_name = "DIR")]
    pub resume: Option<PathBuf>,
    /// Write the result here: a PEFT adapter (lora) or a Hugging Face model (full), and what --resume needs
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ScalingName {
    #[value(name = "alpha_over_r")]
    AlphaOverR,
    #[value(name = "rslora")]
    RsLora,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OptimizerName {
    #[value(name = "adamw")]
    AdamW,
    Sgd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AdamName {
    Torch,
    Hf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ScheduleName {
    Constant,
    Linear,
    Cosine,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Dtype {
    F32,
    F64,
}

/// `lowrank finetune`.
pub fn main(args: &Args) -> Result<()> {
    let threads = threads::set(args.threads)?;
    match (args.dtype, args.method) {
        (Dtype::F32, Name::Lora) => finetune::<f32, Lora<f32>>(args, threads),
        (Dtype::F64, Name::Lora) => finetune::<f64, Lora<f64>>(args, threads),
        (Dtype::F32, Name::Full) => finetune::<f32, Full>(args, threads),
        (Dtype::F64, Name::Full) => finetune::<f64, Full>(args, threads),
    }
}

fn finetune<T: Real, M: Method<T>>(args: &Args, threads: usize) -> Result<()> {
    if args.model.is_some() && args.data.is_none() {
        bail!("--data is needed: only the embedded model brings a task of its own");
    }
    if let Some(folder) = &args.out {
        check_writable(folder).with_context(|| format!("--out {}", folder.display()))?;
    }
    let interrupted = catch_interrupt()?;
    let Source { model, words } = Source::load(args.model.as_deref())?;
    let data = Data::new(args, &words)?;
    let model = match (&args.resume, M::TRAIN) {
        (Some(folder), Train::Everything) => llama::load::load::<T>(folder)?.model,
        _ => model,
    };
    let (mut trainer, options) = trainer::<T, M>(args, model)?;
    let mut first = 0;
    if let Some(folder) = &args.resume {
        let saved = state::load(folder, &mut trainer.optimizer)?;
        check_settings(&saved.settings, &settings(args), args)
            .with_context(|| format!("--resume {}", folder.display()))?;
        (trainer.step, first) = (saved.step, saved.step);
    }
    let before = data.evaluate(&trainer.model, &trainer.adapters)?;

    let steps = steps(args);
    let bar = output::progress(steps.saturating_sub(first), &args.method.to_string());
    let mut reports: Vec<(Report, f64)> = Vec::new();
    while trainer.step < steps && !interrupted.load(Ordering::Relaxed) {
        let start = Instant::now();
        let report = trainer.step(&data.batches(args, trainer.step)?)?;
        let seconds = start.elapsed().as_secs_f64();
        bar.inc(1);
        bar.set_message(format!("loss {:.4}", report.loss));
        if args.format == Format::Json {
            println!("{}", json!({"step": report.step, "loss": report.loss, "seconds": seconds}));
        }
        reports.push((report, seconds));
    }
    bar.finish_and_clear();

    if let Some(folder) = &args.out {
        let base = args.model.as_deref();
        M::save(&trainer.model, &trainer.adapters, &options, base, folder)?;
        let state = State { step: trainer.step, settings: settings(args) };
        state::save(folder, &state, &trainer.optimizer)?;
    }
    let after = data.evaluate(&trainer.model, &trainer.adapters)?;
    report(args, &trainer, &reports, before, after, threads);
    if interrupted.load(Ordering::Relaxed) {
        let kept = match &args.out {
            Some(folder) => format!("; it is in {}", folder.display()),
            None => String::new(),
        };
        bail!("interrupted after step {}{kept}", trainer.step);
    }
    Ok(())
}

/// Better to know before the training than after it.
fn check_writable(folder: &Path) -> Result<()> {
    let exists = folder.ancestors().find(|ancestor| ancestor.exists());
    // An empty path is the current folder.
    let nearest = exists.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::tempfile_in(nearest)
        .with_context(|| format!("{} cannot be written", nearest.display()))?;
    Ok(())
}

/// Ctrl-C ends the run after the step it is in; a second one ends it at once.
fn catch_interrupt() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = flag.clone();
    ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("stopping after this step (again to stop at once)");
    })
    .context("Ctrl-C cannot be caught")?;
    Ok(flag)
}

/// The model, fresh or loaded adapters, and the optimiser that the options ask for.
pub fn trainer<T: Real, M: Method<T>>(
    args: &Args,
    model: Llama<T>,
) -> Result<(Trainer<T, M>, Options)> {
    let config = &model.config;
    let (adapters, options) = match (&args.init_adapter, &args.resume, M::TRAIN) {
        (Some(folder), ..) | (None, Some(folder), Train::Adapters) => {
            let (adapters, options) = M::load(config, folder)?;
            (adapters, Options { dropout: args.dropout, ..options })
        }
        _ => {
            let options = Options {
                rank: args.rank,
                alpha: args.alpha,
                scaling: match args.scaling {
                    ScalingName::AlphaOverR => Scaling::AlphaOverR,
                    ScalingName::RsLora => Scaling::RsLora,
                },
                targets: args
                    .targets
                    .iter()
                    .map(|name| name.parse())
                    .collect::<llama::Result<Vec<Projection>>>()?,
                dropout: args.dropout,
            };
            let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
            (M::fresh(config, &options, &mut rng)?, options)
        }
    };
    let group = Group { lr: lr(args), weight_decay: args.weight_decay };
    let optimizer = match args.optimizer {
        OptimizerName::Sgd => AnyOptimizer::Sgd(Sgd { group }),
        OptimizerName::AdamW => {
            let variant = match args.adam {
                AdamName::Torch => AdamVariant::Torch,
                AdamName::Hf => AdamVariant::Hf,
            };
            let mut adamw = AdamW::new(group, variant);
            adamw.betas = match args.betas[..] {
                [beta1, beta2] => (beta1, beta2),
                _ => bail!("--betas takes two numbers, as in 0.9,0.999"),
            };
            adamw.eps = args.eps.unwrap_or(adamw.eps);
            AnyOptimizer::AdamW(adamw)
        }
    };
    let decay = match schedule(args) {
        ScheduleName::Constant => Decay::Constant,
        ScheduleName::Linear => Decay::Linear,
        ScheduleName::Cosine => Decay::Cosine,
    };
    let settings = Settings {
        train: M::TRAIN,
        lr: group.lr,
        schedule: Schedule::new(decay, args.warmup, steps(args))?,
        clip: args.clip,
        dropout: args.dropout,
        seed: args.seed,
    };
    Ok((Trainer::new(model, adapters, optimizer, settings)?, options))
}

fn embedded(args: &Args) -> bool {
    args.model.is_none()
}

pub fn steps(args: &Args) -> usize {
    args.steps.unwrap_or(if embedded(args) { 400 } else { 100 })
}

fn batch(args: &Args) -> usize {
    args.batch.unwrap_or(if embedded(args) { 32 } else { 1 })
}

fn schedule(args: &Args) -> ScheduleName {
    args.schedule.unwrap_or(match embedded(args) {
        true => ScheduleName::Cosine,
        false => ScheduleName::Constant,
    })
}

fn lr(args: &Args) -> f64 {
    args.lr.unwrap_or(match (embedded(args), args.method) {
        (true, Name::Lora) => 1e-2,
        (true, Name::Full) => 2e-3,
        (false, _) => 1e-3,
    })
}

/// Training and held-out examples.
pub struct Data {
    training: Dataset,
    held_out: Vec<Example>,
}

impl Data {
    pub fn new(args: &Args, words: &Words) -> Result<Self> {
        if batch(args) == 0 || args.accumulate == 0 {
            bail!("--batch and --accumulate are at least 1");
        }
        let shuffle = (!args.no_shuffle).then_some(args.seed);
        let read = |path: &PathBuf| -> Result<Vec<Example>> {
            let (examples, note) = words.examples(path, args.seq_len)?;
            if let Some(note) = note {
                eprintln!("note: {note}");
            }
            Ok(examples)
        };
        let (training, mut held_out) = match &args.data {
            Some(path) => (read(path)?, Vec::new()),
            None => {
                let count = steps(args) * batch(args) * args.accumulate;
                let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
                let training = Task::Descending.examples(count.max(1), &mut rng);
                // The held-out problems are the same for every seed.
                let mut rng = ChaCha8Rng::seed_from_u64(u64::MAX);
                (training, Task::Descending.examples(1000, &mut rng))
            }
        };
        if let Some(path) = &args.eval_data {
            held_out = read(path)?;
        }
        Ok(Self { training: Dataset::new(training, shuffle)?, held_out })
    }

    /// The batches of one step.
    pub fn batches(&self, args: &Args, step: usize) -> Result<Vec<Batch>> {
        let (size, parts) = (batch(args), args.accumulate);
        let part = |i| Ok(self.training.batch((step * parts + i) * size, size)?);
        (0..parts).map(part).collect()
    }

    pub fn evaluate<T: Real, M: Method<T>>(
        &self,
        model: &Llama<T>,
        adapters: &Adapters<M>,
    ) -> Result<Option<Score>> {
        if self.held_out.is_empty() {
            return Ok(None);
        }
        Ok(Some(model.evaluate(adapters, &self.held_out)?))
    }
}

/// The settings that make a run what it is: those a resumed run must share.
fn settings(args: &Args) -> BTreeMap<String, Value> {
    let pairs = [
        ("method", json!(args.method.to_string())),
        ("batch", json!(batch(args))),
        ("lr", json!(lr(args))),
        ("weight-decay", json!(args.weight_decay)),
        ("dropout", json!(args.dropout)),
        ("optimizer", json!(format!("{:?}", args.optimizer))),
        ("adam", json!(format!("{:?}", args.adam))),
        ("betas", json!(args.betas)),
        ("eps", json!(args.eps)),
        ("schedule", json!(format!("{:?}", schedule(args)))),
        ("warmup", json!(args.warmup)),
        ("clip", json!(args.clip)),
        ("accumulate", json!(args.accumulate)),
        ("seed", json!(args.seed)),
        ("no-shuffle", json!(args.no_shuffle)),
        ("dtype", json!(format!("{:?}", args.dtype))),
        ("seq-len", json!(args.seq_len)),
        ("steps", json!(steps(args))),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn check_settings(
    saved: &BTreeMap<String, Value>,
    now: &BTreeMap<String, Value>,
    args: &Args,
) -> Result<()> {
    for (name, now) in now {
        // A constant rate does not depend on how long the run is, and neither does data read from a file.
        let longer =
            name == "steps" && schedule(args) == ScheduleName::Constant && args.data.is_some();
        let before = saved.get(name).unwrap_or(&Value::Null);
        if before != now && !longer {
            bail!("--{name} is {now}, and the run to be resumed had {before}");
        }
    }
    Ok(())
}

fn report<T: Real, M: Method<T>>(
    args: &Args,
    trainer: &Trainer<T, M>,
    reports: &[(Report, f64)],
    before: Option<Score>,
    after: Option<Score>,
    threads: usize,
) {
    let trainable = trainer.trainable();
    let adapter_bytes = trainable * size_of::<T>();
    let most =
        |bytes: fn(&Report) -> usize| reports.iter().map(|(r, _)| bytes(r)).max().unwrap_or(0);
    let saved_bytes = most(|report| report.saved_bytes);
    let mut seconds: Vec<f64> = reports.iter().map(|(_, seconds)| *seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(seconds.len() / 2).copied();
    if args.format == Format::Json {
        let score = |score: Option<Score>| {
            score.map(|score| json!({"loss": score.loss, "exact": score.exact}))
        };
        let line = json!({
            "trainable": trainable,
            "adapter_bytes": adapter_bytes,
            "optimizer_bytes": trainer.optimizer.bytes(),
            "gradient_bytes": most(|report| report.grad_bytes),
            "saved_bytes": saved_bytes,
            "adapter_saved_bytes": most(|report| report.adapter_saved_bytes),
            "peak_rss_bytes": output::peak_rss_bytes(),
            "threads": threads,
            "before": score(before),
            "after": score(after),
        });
        println!("{line}");
        return;
    }
    let mut rows = vec![
        vec!["model parameters".into(), output::count(trainer.model.parameters())],
        vec!["trained".into(), output::count(trainable)],
        vec!["their bytes".into(), output::bytes(adapter_bytes)],
        vec!["gradient bytes".into(), output::bytes(most(|report| report.grad_bytes))],
        vec!["optimizer bytes".into(), output::bytes(trainer.optimizer.bytes())],
        vec!["saved for backward".into(), output::bytes(saved_bytes)],
    ];
    if let Some(peak) = output::peak_rss_bytes() {
        rows.push(vec!["peak memory".into(), output::bytes(peak)]);
    }
    if let (Some((first, _)), Some((last, _))) = (reports.first(), reports.last()) {
        rows.push(vec![
            format!("training loss, step {}", first.step),
            format!("{:.4}", first.loss),
        ]);
        rows.push(vec![format!("training loss, step {}", last.step), format!("{:.4}", last.loss)]);
    }
    for (when, score) in [("before", before), ("after", after)] {
        let Some(score) = score else { continue };
        rows.push(vec![format!("held-out loss {when}"), format!("{:.4}", score.loss)]);
        rows.push(vec![format!("answered exactly {when}"), output::percent(score.exact)]);
    }
    if let Some(median) = median {
        rows.push(vec![format!("seconds a step ({threads} threads)"), format!("{median:.3}")]);
    }
    println!("{}", output::table(&[&args.method.to_string(), ""], &rows));
}
