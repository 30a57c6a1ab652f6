//! The options of `lowrank finetune`, and the run they ask for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use adapter::{AdamVariant, Decay};
use anyhow::{Context, Result, bail};
use clap::builder::RangedU64ValueParser;
use finetune::{Checkpoints, Data, OptimizerKind, Plan, Sweep, Words};
use serde_json::{Value, json};

use crate::method_args::MethodArgs;
use crate::output::Format;
use crate::row_args::RowArgs;

/// The options of `lowrank finetune`.
#[derive(clap::Parser, Clone, Debug)]
#[command(allow_negative_numbers = true)]
pub struct Args {
    /// Model: a Hugging Face folder, a .gguf file, or a hub id [default: the embedded model and its task]
    #[arg(long, value_name = "DIR|FILE.gguf|HUB_ID")]
    pub model: Option<String>,
    /// Training data, by the end of its name, with .gz or without: .txt (cut into blocks of --seq-len), or rows in .jsonl,
    /// .ndjson, .json, .csv or .tsv; - is JSON from standard input. A row has the columns prompt and completion, or messages,
    /// conversations (ShareGPT), instruction and output (Alpaca), or text; see --fields
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Held-out data, of either kind
    #[arg(long, value_name = "FILE")]
    pub eval_data: Option<PathBuf>,
    #[command(flatten)]
    pub method: MethodArgs,
    /// Updates [default: 400 for the embedded model, 100 for others]
    #[arg(long)]
    pub steps: Option<usize>,
    /// Updates for so many passes through --data, in the place of --steps
    #[arg(long, conflicts_with = "steps", requires = "data")]
    pub epochs: Option<f64>,
    #[command(flatten)]
    pub rows: RowArgs,
    /// Sequences in a batch [default: 32 for the embedded model, 1 for others]
    #[arg(long)]
    pub batch: Option<usize>,
    /// Learning rate [default: 1e-3; for the embedded model the best of `lowrank compare --sweep`]
    #[arg(long)]
    pub lr: Option<f64>,
    #[arg(long, default_value_t = 0.0)]
    pub weight_decay: f64,
    #[arg(long, value_enum, default_value = "adamw")]
    pub optimizer: OptimizerName,
    /// Which AdamW: torch.optim's, or the one transformers had [default: torch]
    #[arg(long, value_enum)]
    pub adam: Option<AdamName>,
    /// β₁,β₂ [default: 0.9,0.999]
    #[arg(long, value_delimiter = ',')]
    pub betas: Option<Vec<f64>>,
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
    /// Threads that compute [default: one for each core]
    #[arg(long)]
    pub threads: Option<usize>,
    /// Start from this PEFT adapter, with its rank, α and targets (of VeRA: rank, key, sharing and targets)
    #[arg(long, value_name = "PEFT_DIR", conflicts_with = "resume")]
    pub init_adapter: Option<PathBuf>,
    /// Go on with the run that wrote this folder, where its result or the last of its checkpoints stands, and in it unless
    /// --out is another
    #[arg(long, value_name = "DIR")]
    pub resume: Option<PathBuf>,
    /// Write the result here: a PEFT adapter, or with --method full a Hugging Face model; what --resume needs, a log and
    /// the checkpoints. It must not exist, be empty, or be the folder of the run that is resumed
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Let the result take the place of the one that an earlier run wrote to --out
    #[arg(long, requires = "out")]
    pub overwrite: bool,
    /// Write a checkpoint into --out after every so many steps
    #[arg(long, value_name = "STEPS", value_parser = at_least_one())]
    pub save_every: Option<u64>,
    /// Keep so many checkpoints, the youngest
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = at_least_one())]
    pub keep: u64,
    /// Look at --eval-data after every so many steps; with --out the best state is kept
    #[arg(long, value_name = "STEPS", value_parser = at_least_one())]
    pub eval_every: Option<u64>,
    /// Take the options of this run.toml, which every --out has; what is said here too is taken from here
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// No progress and no notes on standard error
    #[arg(long)]
    pub quiet: bool,
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
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

fn at_least_one() -> RangedU64ValueParser {
    RangedU64ValueParser::new().range(1..)
}

impl Args {
    /// The run, on a file of so many examples.
    ///
    /// # Errors
    /// An option that the method does not have, or a value that makes no sense.
    pub fn plan(&self, examples: Option<usize>) -> Result<Plan> {
        let MethodArgs { method, given } = self.method.clone();
        let default = match &self.model {
            None => Plan::embedded(method, f64::NAN),
            Some(_) => Plan::new(method),
        };
        let default = Plan { options: given, ..default };
        let lr = match (&self.model, self.lr) {
            (_, Some(lr)) => lr,
            (None, None) => Sweep::embedded().rate(&default.row()).context("--lr is needed")?,
            (Some(_), None) => default.lr,
        };
        let betas = match self.betas.as_deref() {
            None => default.betas,
            Some(&[beta1, beta2]) => (beta1, beta2),
            Some(_) => bail!("--betas takes two numbers, as in 0.9,0.999"),
        };
        if self.optimizer == OptimizerName::Sgd {
            let given = [
                ("--adam", self.adam.is_some()),
                ("--betas", self.betas.is_some()),
                ("--eps", self.eps.is_some()),
            ];
            if let Some((name, _)) = given.iter().find(|(_, given)| *given) {
                bail!("{name} is for --optimizer adamw: the optimizer is sgd");
            }
        }
        let batch = self.batch.unwrap_or(default.batch);
        let steps = match (self.epochs, examples) {
            (Some(epochs), Some(examples)) => {
                if !(epochs > 0.0 && epochs.is_finite()) {
                    bail!("--epochs is {epochs}: it must be above 0");
                }
                let a_step = (batch * self.accumulate).max(1) as f64;
                (epochs * examples as f64 / a_step).ceil() as usize
            }
            _ => self.steps.unwrap_or(default.steps),
        };
        Ok(Plan {
            optimizer: match (self.optimizer, self.adam) {
                (OptimizerName::Sgd, _) => OptimizerKind::Sgd,
                (OptimizerName::AdamW, None | Some(AdamName::Torch)) => {
                    OptimizerKind::AdamW(AdamVariant::Torch)
                }
                (OptimizerName::AdamW, Some(AdamName::Hf)) => OptimizerKind::AdamW(AdamVariant::Hf),
            },
            betas,
            eps: self.eps,
            lr,
            weight_decay: self.weight_decay,
            decay: match self.schedule {
                Some(ScheduleName::Constant) => Decay::Constant,
                Some(ScheduleName::Linear) => Decay::Linear,
                Some(ScheduleName::Cosine) => Decay::Cosine,
                None => default.decay,
            },
            warmup: self.warmup,
            steps,
            clip: self.clip,
            batch,
            accumulate: self.accumulate,
            seed: self.seed,
            ..default
        })
    }

    /// The run and its data.
    ///
    /// # Errors
    /// As [`plan`](Self::plan), or a file is missing, empty or no text.
    pub fn plan_and_data(&self, words: &Words, context: usize) -> Result<(Plan, Data)> {
        let read = |path: &PathBuf| self.rows.read(path, words, context);
        let examples = self.data.as_ref().map(read).transpose()?;
        let plan = self.plan(examples.as_ref().map(Vec::len))?;
        let seed = (!self.no_shuffle).then_some(plan.seed);
        let mut data = match examples {
            Some(examples) => Data::new(examples, Vec::new(), seed)?,
            None => Data::embedded(&plan, seed)?,
        };
        if let Some(path) = &self.eval_data {
            data.held_out = read(path)?;
        }
        Ok((plan, data))
    }

    /// When checkpoints are written.
    pub fn checkpoints(&self) -> Checkpoints {
        let every = self.save_every.map(|every| every as usize);
        Checkpoints { every, keep: self.keep as usize }
    }

    /// The settings beside the plan's that a resumed run must share.
    pub fn settings(&self) -> BTreeMap<String, Value> {
        [
            ("no-shuffle", json!(self.no_shuffle)),
            ("dtype", json!(format!("{:?}", self.dtype))),
            ("seq-len", json!(self.rows.seq_len)),
            ("train-on", json!(format!("{:?}", self.rows.train_on))),
            ("fields", json!(self.rows.fields)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}
