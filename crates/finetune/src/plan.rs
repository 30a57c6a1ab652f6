//! All that decides a run apart from the model and the data.

use std::collections::BTreeMap;

use adapter::{AdamVariant, AdamW, Decay, Group, Optimizer, Real, Schedule, Sgd};
use llama::{Adapters, Llama, Settings, Trainer};
use serde_json::{Value, json};

use crate::{Error, Method, Name, Options, Result};

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
    pub method: Name,
    /// What it is told.
    pub options: Options,
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
    pub fn new(method: Name) -> Self {
        Self {
            method,
            options: Options::of(method),
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
    pub fn embedded(method: Name, lr: f64) -> Self {
        Self { lr, decay: Decay::Cosine, steps: 400, batch: 32, ..Self::new(method) }
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

    /// A trainer before its first step.
    ///
    /// # Errors
    /// A setting makes no sense, or asks for what the method does not have.
    pub fn trainer<T: Real, M: Method<T>>(
        &self,
        model: Llama<T>,
        adapters: Adapters<M>,
    ) -> Result<Trainer<T, M>> {
        if self.batch == 0 || self.accumulate == 0 {
            return Err(Error::Option("batch and accumulate are at least 1".into()));
        }
        let dropout = self.options.dropout;
        if M::NAME == Name::Full && dropout != 0.0 {
            let reason = "dropout acts on an adapter's input, and full fine-tuning has no adapter";
            return Err(Error::Option(reason.into()));
        }
        let settings = Settings {
            train: M::TRAIN,
            schedule: Schedule::new(self.decay, self.warmup, self.steps)?,
            clip: self.clip,
            dropout,
            seed: self.seed,
        };
        Ok(Trainer::new(model, adapters, self.optimizer(), settings)?)
    }

    /// What would not stop a run, and is hardly meant.
    pub fn warnings(&self) -> Vec<String> {
        let Options { lr_ratio, delta, .. } = &self.options;
        let mut warnings = Vec::new();
        if self.method == Name::LoraPlus && *lr_ratio < 1.0 {
            warnings.push(format!(
                "lr-ratio is {lr_ratio}: LoRA+ is about B learning faster than A, a ratio above 1"
            ));
        }
        if self.method == Name::DeltaLora && delta.start_step >= self.steps as u64 {
            warnings.push(format!(
                "start-step is {} and the run has {} steps: W never moves, this is LoRA",
                delta.start_step, self.steps
            ));
        }
        warnings
    }

    /// The settings by name: those a resumed run must share.
    pub fn settings(&self) -> BTreeMap<String, Value> {
        let Options { variant, lr_ratio, delta, .. } = &self.options;
        let mut pairs = vec![
            ("method", json!(self.method.name())),
            ("batch", json!(self.batch)),
            ("lr", json!(self.lr)),
            ("weight-decay", json!(self.weight_decay)),
            ("dropout", json!(self.options.dropout)),
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
        match self.method {
            Name::LoraFa => pairs.push(("variant", json!(format!("{variant:?}")))),
            Name::LoraPlus => pairs.push(("lr-ratio", json!(lr_ratio))),
            Name::DeltaLora => pairs.extend([
                ("lambda", json!(delta.lambda)),
                ("start-step", json!(delta.start_step)),
                ("exclude-scale", json!(!delta.include_scale)),
            ]),
            Name::Full | Name::Lora | Name::Vera => {}
        }
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}
