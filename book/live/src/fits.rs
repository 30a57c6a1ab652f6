//! What fits: what a run on a model of any shape would hold in memory.

use anyhow::{Context, Result, bail};
use finetune::{Budget, Plan, Precision};
use llama::Config;
use methods::Method;
use serde::{Deserialize, Serialize};

use crate::{Experiment, shapes};

/// Memory of common GPUs, in GiB.
const CARDS: [u64; 8] = [8, 12, 16, 24, 32, 48, 80, 141];
/// The longest sequence and the most of them: no product overflows.
const MOST_TOKENS: usize = 1 << 17;
const MOST_BATCH: usize = 256;

/// There is nothing to set.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {}

/// What to count.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// The shapes of some models.
    Models,
    /// What a run holds.
    Run(Run),
}

/// A run on a model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The model.
    pub sizes: Sizes,
    /// Its name on the command line.
    pub method: String,
    /// What the method is told, if it is not full fine-tuning.
    pub rank: usize,
    /// The adapted projections, as on the command line.
    pub targets: String,
    /// Sequences in a batch.
    pub batch: usize,
    /// Tokens in a sequence.
    pub tokens: usize,
    /// Of a number of the base's projections: 32, where everything is in f32, or 16, 8 or 4 beside a mixture.
    pub bits: u8,
}

/// What a model's memory depends on, by the names of `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Sizes {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub head_dim: usize,
    pub tie_word_embeddings: bool,
}

/// What there is to see.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To [`Question::Models`]: their names and shapes.
    Models(Vec<(&'static str, Sizes)>),
    /// To [`Question::Run`].
    Run {
        /// Numbers of the model, and those that are trained.
        parameters: u64,
        /// Numbers that are trained.
        trained: u64,
        /// Bytes by what they are for.
        bytes: Vec<(&'static str, u64)>,
        /// Their sum.
        total: u64,
        /// The smallest common GPU that has so much memory, in GiB; none if there is none.
        card: Option<u64>,
    },
}

/// Nothing is kept.
pub struct Fits;

impl Experiment for Fits {
    type Settings = Settings;
    type Question = Question;
    type Answer = Answer;

    fn start(_: Settings, _: &[u8]) -> Result<Self> {
        Ok(Self)
    }

    fn ask(&mut self, question: Question) -> Result<Answer> {
        match question {
            Question::Models => {
                let models = shapes::models().into_iter();
                Ok(Answer::Models(models.map(|(name, config)| (name, (&config).into())).collect()))
            }
            Question::Run(run) => Ok(answer(budget(&run)?)),
        }
    }
}

/// What the run holds.
///
/// # Errors
/// There is no such model, method or precision, or it is too large to be counted here.
pub fn budget(run: &Run) -> Result<Budget> {
    let Run { sizes, method, rank, targets, batch, tokens, bits } = run;
    if !(1..=MOST_BATCH).contains(batch) || !(1..=MOST_TOKENS).contains(tokens) {
        bail!(
            "{batch} sequences of {tokens} tokens: 1 to {MOST_BATCH} of 1 to {MOST_TOKENS} can be counted here"
        );
    }
    let config = sizes.config()?;
    if !(1..=config.intermediate_size.max(config.hidden_size)).contains(rank) {
        bail!("the rank is {rank}: it is at least 1, and at most the largest width of the model");
    }
    let precision = match bits {
        32 => Precision::F32,
        16 => Precision::MIXED,
        8 => Precision::BITS_8,
        4 => Precision::BITS_4,
        _ => bail!("{bits} bits: there are 32, 16, 8 and 4"),
    };
    let method: Method = method.parse()?;
    let mut plan = Plan::new(method);
    if method != Method::Full {
        let told = [("rank", rank.to_string()), ("targets", targets.clone())];
        plan.options = told.map(|(name, value)| (name.to_owned(), value)).into();
    }
    Ok(Budget::of(&plan, &config, &vec![*tokens; *batch], precision)?)
}

fn answer(budget: Budget) -> Answer {
    let bytes = vec![
        ("weights", budget.weights),
        ("gradients", budget.gradients),
        ("optimiser", budget.optimizer),
        ("saved by the layers", budget.layers),
        ("saved by attention", budget.attention),
        ("saved by the adapters", budget.adapters),
        ("logits", budget.logits),
    ];
    let total = budget.total();
    let card = CARDS.into_iter().find(|gib| gib << 30 >= total);
    Answer::Run { parameters: budget.parameters, trained: budget.trained, bytes, total, card }
}

impl From<&Config> for Sizes {
    fn from(config: &Config) -> Self {
        Self {
            vocab_size: config.vocab_size,
            hidden_size: config.hidden_size,
            intermediate_size: config.intermediate_size,
            num_hidden_layers: config.num_hidden_layers,
            num_attention_heads: config.num_attention_heads,
            num_key_value_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
            tie_word_embeddings: config.tie_word_embeddings,
        }
    }
}

impl Sizes {
    fn config(&self) -> Result<Config> {
        // Twice what the largest models have.
        for (name, size, most) in [
            ("vocab_size", self.vocab_size, 1 << 19),
            ("hidden_size", self.hidden_size, 1 << 15),
            ("intermediate_size", self.intermediate_size, 1 << 17),
            ("num_hidden_layers", self.num_hidden_layers, 256),
            ("num_attention_heads", self.num_attention_heads, 256),
            ("num_key_value_heads", self.num_key_value_heads, 256),
            ("head_dim", self.head_dim, 512),
        ] {
            if size > most {
                bail!("{name} is {size}, and at most {most} can be counted here");
            }
        }
        let config = Config {
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            num_key_value_heads: self.num_key_value_heads,
            head_dim: self.head_dim,
            tie_word_embeddings: self.tie_word_embeddings,
            ..llama::tiny::config()
        };
        config.validate().context("the shape")?;
        Ok(config)
    }
}
