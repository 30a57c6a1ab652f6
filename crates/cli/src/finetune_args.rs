//! The options of `lowrank finetune`, and the run they ask for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use adapter::{AdamVariant, Decay};
use anyhow::{Context, Result, bail};
use finetune::{Data, OptimizerKind, Plan, Sweep, Words};
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
    /// Threads that compute [default: one for each core]
    #[arg(long)]
    pub threads: Option<usize>,
    /// Start from this PEFT adapter, with its rank, α and targets (of VeRA: rank, key, sharing and targets)
    #[arg(long, value_name = "PEFT_DIR", conflicts_with = "resume")]
    pub init_adapter: Option<PathBuf>,
    /// Go on with the run that wrote this folder
    #[arg(long, value_name = "DIR")]
    pub resume: Option<PathBuf>,
    /// Write the result here: a PEFT adapter, or with --method full a Hugging Face model; and what --resume needs
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
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

impl Args {
    /// The run.
    ///
    /// # Errors
    /// An option that the method does not have, or a value that makes no sense.
    pub fn plan(&self) -> Result<Plan> {
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
        let &[beta1, beta2] = self.betas.as_slice() else {
            bail!("--betas takes two numbers, as in 0.9,0.999");
        };
        Ok(Plan {
            optimizer: match (self.optimizer, self.adam) {
                (OptimizerName::Sgd, _) => OptimizerKind::Sgd,
                (OptimizerName::AdamW, AdamName::Torch) => OptimizerKind::AdamW(AdamVariant::Torch),
                (OptimizerName::AdamW, AdamName::Hf) => OptimizerKind::AdamW(AdamVariant::Hf),
            },
            betas: (beta1, beta2),
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
            steps: self.steps.unwrap_or(default.steps),
            clip: self.clip,
            batch: self.batch.unwrap_or(default.batch),
            accumulate: self.accumulate,
            seed: self.seed,
            ..default
        })
    }

    /// Its data.
    ///
    /// # Errors
    /// A file is missing, empty or no text.
    pub fn data(&self, plan: &Plan, words: &Words, context: usize) -> Result<Data> {
        let read = |path: &PathBuf| self.rows.read(path, words, context);
        let seed = (!self.no_shuffle).then_some(plan.seed);
        let mut data = match &self.data {
            Some(path) => Data::new(read(path)?, Vec::new(), seed)?,
            None => Data::embedded(plan, seed)?,
        };
        if let Some(path) = &self.eval_data {
            data.held_out = read(path)?;
        }
        Ok(data)
    }

    /// The settings beside the plan's that a resumed run must share.
    pub fn settings(&self) -> BTreeMap<String, Value> {
        [
            ("no-shuffle", json!(self.no_shuffle)),
            ("dtype", json!(format!("{:?}", self.dtype))),
            ("seq-len", json!(self.rows.seq_len)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}
