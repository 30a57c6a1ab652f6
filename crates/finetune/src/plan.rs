//! All that decides a run apart from the model and the data.

use std::collections::BTreeMap;

use adapter::{AdamVariant, AdamW, Decay, Group, Optimizer, Real, Schedule, Sgd};
use llama::{Config, Settings};
use methods::{Method, Options, Row, Tunable};
use serde_json::{Value, json};

use crate::{Error, Result};

/// The optimisers by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptimizerKind {
    /// Stochastic gradient descent without momentum.
    Sgd,
    /// AdamW, of one or the other kind.
    AdamW(AdamVariant),
}

/// A run: method, options, optimiser, rate, length, batches, seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Which method.
    pub method: Method,
    /// What it is told, by the names of [`Method::options`]; the rest is its default.
    pub options: Vec<(String, String)>,
    /// How parameters move.
    pub optimizer: OptimizerKind,
    /// β₁ and β₂ of AdamW.
    pub betas: (f64, f64),
    /// ε of AdamW; `None` for the variant's own.
    pub eps: Option<f64>,
    /// Learning rate, before the schedule's factor.
    pub lr: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// What the rate does after the warm-up.
    pub decay: Decay,
    /// Steps of warm-up.
    pub warmup: usize,
    /// Updates.
    pub steps: usize,
    /// The largest gradient norm.
    pub clip: Option<f64>,
    /// Sequences in a batch.
    pub batch: usize,
    /// Batches whose gradients make one update.
    pub accumulate: usize,
    /// Seed of adapters, data order and dropout masks.
    pub seed: u64,
}

impl Plan {
    /// AdamW as PyTorch has it at a constant rate of 10⁻³, one sequence a batch, 100 steps.
    pub fn new(method: Method) -> Self {
        Self {
            method,
            options: Vec::new(),
            optimizer: OptimizerKind::AdamW(AdamVariant::Torch),
            betas: (0.9, 0.999),
            eps: None,
            lr: 1e-3,
            weight_decay: 0.0,
            decay: Decay::Constant,
            warmup: 0,
            steps: 100,
            clip: None,
            batch: 1,
            accumulate: 1,
            seed: 0,
        }
    }

    /// For the embedded model and its task: 400 steps of 32 problems, a cosine, and `lr`.
    pub fn embedded(method: Method, lr: f64) -> Self {
        Self { lr, decay: Decay::Cosine, steps: 400, batch: 32, ..Self::new(method) }
    }

    /// The run that `row` is in a comparison on these terms: what the method is told, length and batches are those of the
    /// terms, as far as the method has such an option and the row does not keep its own.
    pub fn of_row(&self, row: &Row, lr: f64, seed: u64) -> Self {
        let has: Vec<&str> = row.method.options().iter().map(|option| option.name).collect();
        let shared = |(name, _): &&(String, String)| {
            has.contains(&name.as_str()) && !row.own.contains(&name.as_str())
        };
        let mut options: Vec<_> = self.options.iter().filter(shared).cloned().collect();
        options.extend(row.options.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        Self { method: row.method, options, lr, seed, ..self.clone() }
    }

    /// The row that a comparison has for such a run.
    pub fn row(&self) -> Row {
        let rows = Row::all().into_iter().filter(|row| row.method == self.method);
        let told = |row: &Row| {
            row.options.iter().all(|(name, value)| {
                self.options.iter().any(|(given, is)| given == name && is == value)
            })
        };
        // The first row of a method has its default variant, which a run may also be told by saying nothing.
        rows.clone().find(told).or(rows.clone().next()).expect("every method has a row")
    }

    /// What the method is told.
    ///
    /// # Errors
    /// It has no such option, or a value makes no sense.
    pub fn options<O: Options>(&self) -> Result<O> {
        self.options.iter().try_for_each(|(name, _)| self.method.check_option(name))?;
        let mut options = O::of_run(self.steps);
        let given = self.options.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        methods::set(&mut options, given)?;
        Ok(options)
    }

    /// What it is told on a model.
    ///
    /// # Errors
    /// As [`options`](Self::options), or the model has no such projection.
    pub fn options_on<O: Options>(&self, config: &Config) -> Result<O> {
        let mut options: O = self.options()?;
        options.settle(config)?;
        Ok(options)
    }

    /// The optimiser, without state.
    pub fn optimizer<T: Real>(&self) -> Box<dyn Optimizer<T>> {
        let group = Group { lr: self.lr, weight_decay: self.weight_decay };
        match self.optimizer {
            OptimizerKind::Sgd => Box::new(Sgd { group }),
            OptimizerKind::AdamW(variant) => {
                let mut adamw = AdamW::new(group, variant);
                adamw.betas = self.betas;
                adamw.eps = self.eps.unwrap_or(adamw.eps);
                Box::new(adamw)
            }
        }
    }

    /// What a trainer is told.
    ///
    /// # Errors
    /// A setting makes no sense.
    pub fn trainer<T: Real, M: Tunable<T>>(&self, options: &M::Options) -> Result<Settings> {
        if self.batch == 0 || self.accumulate == 0 {
            return Err(Error::Option("batch and accumulate are at least 1".into()));
        }
        // Too small a number is 0 in the arithmetic of the weights.
        if self.eps.is_some_and(|eps| eps >= 0.0 && T::from_f64(eps) == T::zero()) {
            return Err(Error::Option(
                "eps is 0: a number whose gradient is 0, as all of LoRA's A has it in the first step, would move by 0/0; take \
                 a larger one, such as 1e-8"
                    .into(),
            ));
        }
        Ok(Settings {
            train: M::TRAIN,
            schedule: Schedule::new(self.decay, self.warmup, self.steps)?,
            clip: self.clip,
            dropout: options.dropout(),
            seed: self.seed,
        })
    }

    /// Was the method told this?
    pub(crate) fn says(&self, name: &str) -> bool {
        self.options.iter().any(|(given, _)| given == name)
    }

    /// The settings by name: those a resumed run must share.
    pub fn settings<O: Options>(&self, options: &O) -> BTreeMap<String, Value> {
        let shared = [
            ("method", json!(self.method.name())),
            ("batch", json!(self.batch)),
            ("lr", json!(self.lr)),
            ("weight-decay", json!(self.weight_decay)),
            ("optimizer", json!(format!("{:?}", self.optimizer))),
            ("betas", json!(self.betas)),
            ("eps", json!(self.eps)),
            ("schedule", json!(format!("{:?}", self.decay))),
            ("warmup", json!(self.warmup)),
            ("clip", json!(self.clip)),
            ("accumulate", json!(self.accumulate)),
            ("seed", json!(self.seed)),
            ("steps", json!(self.steps)),
        ];
        let own = O::fields().into_iter().map(|field| (field.name, field.get(options)));
        shared.into_iter().chain(own).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}
