//! The one training loop.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use adapter::{Ledger, Optimizer, Real};
use llama::data::Example;
use llama::random::{Purpose, random};
use llama::state::{self, State};
use llama::{Adapters, Config, Llama, Report, Score, Trainer};
use methods::{Field, Options, Tunable};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tensor_file::{Digest, Staging};

use crate::{Base, Data, Error, Plan, Result, Spread, digest};

/// Bytes, counted from the arrays that were really held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByKind {
    /// The model's, and all that the adapters hold, frozen matrices included.
    pub weights: usize,
    /// Of everything trained.
    pub gradients: usize,
    /// The optimiser's state.
    pub optimizer: usize,
    /// Kept between a forward pass and its backward pass.
    pub saved: usize,
}

impl ByKind {
    /// Their names, in the order of [`values`](Self::values).
    pub const NAMES: [&str; 4] = ["weights", "gradients", "optimizer", "saved for backward"];

    /// The four of them.
    pub fn values(self) -> [usize; 4] {
        [self.weights, self.gradients, self.optimizer, self.saved]
    }
}

const THAN_BEFORE: &str = "than the run to be resumed had (their digests differ)";

/// One update of a run.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Its number, loss, and what it kept.
    pub report: Report,
    /// The learning rate of its update.
    pub lr: f64,
    /// The tokens it read, prompts included.
    pub tokens: usize,
    /// How long it took.
    pub seconds: f64,
}

/// Where a run comes from, as its folder says it: the same when it is resumed.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The weights it started with.
    pub base: Base,
    /// The caller's settings, beside those of the plan.
    pub settings: BTreeMap<String, Value>,
    model: Digest,
    data: Digest,
}

impl Origin {
    /// Of a run that starts with `model` and trains on `data`.
    pub fn new<T: Real>(
        base: Base,
        settings: BTreeMap<String, Value>,
        model: &Llama<T>,
        data: &Data,
    ) -> Self {
        let (model, data) = (digest::of_model(model), digest::of_examples(data.training()));
        Self { base, settings, model, data }
    }
}

/// A run in progress: the model with its adapters and optimiser, what it is trained on, and the steps made here.
pub struct Session<T: Real, M: Tunable<T>> {
    /// What was asked for.
    pub plan: Plan,
    /// What the method was told, or what the folder that it started from says.
    pub options: M::Options,
    /// Model, adapters, optimiser.
    pub trainer: Trainer<T, M>,
    /// The steps made by this session.
    pub steps: Vec<Step>,
    /// What it is trained and measured on.
    pub data: Data,
}

impl<T: Real, M: Tunable<T>> Session<T, M> {
    /// Before its first step.
    ///
    /// # Errors
    /// An option makes no sense.
    pub fn start(plan: Plan, model: Llama<T>, data: Data) -> Result<Self> {
        let options: M::Options = plan.options_on(&model.config)?;
        let mut rng = random(plan.seed, Purpose::Adapters, 0);
        let adapters = M::start(&model, &options, &mut rng)?;
        let optimizer = plan.optimizer();
        Self::new(plan, options, model, adapters, optimizer, data)
    }

    /// Before its first step, with the adapters of a folder.
    ///
    /// # Errors
    /// An option makes no sense or contradicts the folder, or the folder is damaged or does not fit.
    pub fn from_adapter(plan: Plan, model: Llama<T>, data: Data, folder: &Path) -> Result<Self> {
        let mut options: M::Options = plan.options_on(&model.config)?;
        let adapters = M::load(&model, &mut options, folder)?;
        contradiction::<M::Options>(&plan, &model.config, &options, folder)?;
        let optimizer = plan.optimizer();
        Self::new(plan, options, model, adapters, optimizer, data)
    }

    /// Where the run that wrote `folder` stopped. The number of steps may have changed if `may_grow`.
    ///
    /// # Errors
    /// The run had other settings, another model or other data, an option contradicts the folder, or the folder is damaged
    /// or does not fit.
    pub fn resume(
        plan: Plan,
        mut model: Llama<T>,
        data: Data,
        folder: &Path,
        origin: &Origin,
        may_grow: bool,
    ) -> Result<Self> {
        let mut options: M::Options = plan.options_on(&model.config)?;
        let mut optimizer = plan.optimizer();
        let saved = state::peek(folder)?;
        let wrong = |reason| Error::File { path: folder.to_owned(), reason };
        let same = |name: &str, now: &Value| {
            let before = saved.settings.get(name).unwrap_or(&Value::Null);
            if as_now::<M::Options>(name, before) == *now || (name == "steps" && may_grow) {
                return Ok(());
            }
            let why = match name {
                "steps" => ": another number needs --schedule constant and --data",
                _ => "",
            };
            Err(wrong(format!("--{name} is {now}, and the run to be resumed had {before}{why}")))
        };
        if origin.model != saved.model {
            return Err(wrong(format!("--model has other weights {THAN_BEFORE}")));
        }
        // Before the options, which are the method's.
        same("method", &plan.method.name().into())?;
        // What the run was started with holds, unless it is said anew.
        let unsaid = |field: &&Field<M::Options>| field.in_folder && !plan.says(field.name);
        for field in M::Options::fields().iter().filter(unsaid) {
            if let Some(before) = saved.settings.get(field.name) {
                field.take(&mut options, before)?;
            }
        }
        for (name, now) in plan.settings(&options).iter().chain(&origin.settings) {
            same(name, now)?;
        }
        // After the settings, which decide on the embedded model's examples and on the blocks of a text.
        if origin.data != saved.data {
            return Err(wrong(format!(
                "--data holds other examples {THAN_BEFORE}: the file, the tokenizer, the chat template or the date that \
                 it writes (--date) has changed"
            )));
        }
        let (saved, own) = state::load(folder, &mut *optimizer)?;
        let adapters = M::resume(&mut model, &mut options, folder, saved.step, own)?;
        contradiction::<M::Options>(&plan, &model.config, &options, folder)?;
        let mut session = Self::new(plan, options, model, adapters, optimizer, data)?;
        session.trainer.step = saved.step;
        Ok(session)
    }

    fn new(
        plan: Plan,
        options: M::Options,
        model: Llama<T>,
        adapters: Adapters<M>,
        optimizer: Box<dyn Optimizer<T>>,
        data: Data,
    ) -> Result<Self> {
        for example in data.training().iter().chain(&data.held_out) {
            model.config.check_length(example.tokens.len())?;
        }
        let settings = plan.trainer::<T, M>(&options)?;
        let trainer = Trainer::new(model, adapters, optimizer, settings)?;
        Ok(Self { plan, options, trainer, steps: Vec::new(), data })
    }

    /// How many steps are still to be made.
    pub fn left(&self) -> usize {
        self.plan.steps.saturating_sub(self.trainer.step)
    }

    /// One update, and how many tokens it read. Unlike [`train`](Self::train) it asks for no clock, which wasm32's std has not.
    ///
    /// # Errors
    /// The data does not fit the model, or training diverged.
    pub fn step(&mut self) -> Result<(Report, usize)> {
        let batches = self.data.batches(&self.plan, self.trainer.step)?;
        let report = self.trainer.step(&batches)?;
        if self.left() == 0 {
            // The next step would notice an update that is not finite; after the last there is none.
            self.trainer.check_finite()?;
        }
        Ok((report, batches.iter().map(|batch| batch.tokens().len()).sum()))
    }

    /// Trains until the plan's last step, or until `progress`, which sees each step, breaks off.
    ///
    /// # Errors
    /// The data does not fit the model, training diverged, or those of `progress`.
    pub fn train<E: From<Error>>(
        &mut self,
        progress: &mut dyn FnMut(&Self, &Step) -> Result<ControlFlow<()>, E>,
    ) -> Result<ControlFlow<()>, E> {
        while self.left() > 0 {
            let start = Instant::now();
            let (report, tokens) = self.step()?;
            let (lr, seconds) = (self.trainer.optimizer.group().lr, start.elapsed().as_secs_f64());
            let step = Step { report, lr, tokens, seconds };
            self.steps.push(step);
            if progress(self, &step)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What would not stop this run, and is hardly meant.
    ///
    /// # Errors
    /// An option makes no sense.
    pub fn warnings(&self) -> Result<Vec<String>> {
        let mut warnings = self.options.warnings(self.plan.steps);
        let asked: M::Options = self.plan.options()?;
        let config = &self.trainer.model.config;
        let beside = config.beside(asked.targets());
        // A folder may have decided otherwise than what is asked by default.
        let decided = config.holding(asked.targets())? == self.options.targets();
        if decided && !beside.is_empty() {
            let [asked, beside] = [asked.targets(), &beside]
                .map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
            warnings.push(format!(
                "{asked}: this model has them in one matrix with {beside}, and the adapter is on all of it"
            ));
        }
        Ok(warnings)
    }

    /// Do held-out examples have a prompt and an answer, or are they plain text?
    pub fn has_answers(&self) -> bool {
        self.data.held_out.iter().any(Example::is_answer)
    }

    /// How well the model does on the held-out examples now; `None` when there are none, or when `go_on`, which is asked
    /// now and then, says no.
    ///
    /// # Errors
    /// An example does not fit the model, or the loss is not finite.
    pub fn evaluate(&self, go_on: &dyn Fn() -> bool) -> Result<Option<Score>> {
        self.data.evaluate(&self.trainer.model, &self.trainer.adapters, go_on)
    }

    /// Writes what was trained, and what [`resume`](Self::resume) needs. `held_out` is how well the model does now, if
    /// that was measured.
    ///
    /// # Errors
    /// A number is not finite, or the disk is full or read-only.
    pub fn save(&self, folder: &Path, origin: &Origin, held_out: Option<Score>) -> Result<()> {
        let Trainer { model, adapters, optimizer, step, .. } = &self.trainer;
        self.trainer.check_finite()?;
        let mut settings = self.plan.settings(&self.options);
        settings.extend(origin.settings.clone());
        let (model_digest, data) = (origin.model.clone(), origin.data.clone());
        let held_out = held_out.map(|score| score.loss);
        let state = State { step: *step, settings, model: model_digest, data, held_out };
        let mut files = Staging::new(folder)?;
        M::stage(model, adapters, &self.options, &origin.base, &mut files)?;
        state::stage(&mut files, &state, &**optimizer, &M::state(model, adapters))?;
        Ok(files.commit()?)
    }

    /// The most bytes of each kind that a step held.
    pub fn bytes(&self) -> ByKind {
        let model = size_of::<T>() * self.trainer.model.parameters();
        ByKind {
            weights: model + Ledger::of(&self.trainer.adapters),
            gradients: self.most(|report| report.grad_bytes),
            optimizer: self.trainer.optimizer_bytes(),
            saved: self.most(|report| report.saved_bytes),
        }
    }

    /// The part of what a step saved that the adapters kept; the rest is kept whatever the method.
    pub fn adapter_saved_bytes(&self) -> usize {
        self.most(|report| report.adapter_saved_bytes)
    }

    /// Median time of a step; `None` before the first.
    pub fn seconds_per_step(&self) -> Option<f64> {
        Spread::of(self.steps.iter().map(|step| step.seconds)).map(|spread| spread.median)
    }

    fn most(&self, bytes: fn(&Report) -> usize) -> usize {
        self.steps.iter().map(|step| bytes(&step.report)).max().unwrap_or(0)
    }
}

/// A setting that was saved, in today's words.
fn as_now<O: Options>(name: &str, before: &Value) -> Value {
    let mut read = O::default();
    let fields = O::fields();
    let field = fields.iter().find(|field| field.name == name);
    match field.map(|field| field.take(&mut read, before).map(|()| field.get(&read))) {
        Some(Ok(now)) => now,
        _ => before.clone(),
    }
}

/// An option was given that the folder decides, and decides otherwise.
fn contradiction<O: Options>(plan: &Plan, config: &Config, read: &O, folder: &Path) -> Result<()> {
    let asked: O = plan.options_on(config)?;
    for field in O::fields().iter().filter(|field| field.in_folder) {
        let (asked, is) = (field.get(&asked), field.get(read));
        if plan.says(field.name) && asked != is {
            let name = field.name;
            let reason =
                format!("--{name} is {asked}, and the adapter that was read has {name} {is}");
            return Err(Error::File { path: folder.to_owned(), reason });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What was saved with the targets as they had been named is what is shown now.
    #[test]
    fn a_setting_that_was_saved_is_read_as_it_is_shown() {
        let as_now = as_now::<<lora::Lora<f64> as Tunable<f64>>::Options>;
        assert_eq!(as_now("targets", &json!("v_proj,q_proj")), json!("q_proj,v_proj"));
        assert_eq!(as_now("rank", &json!(4)), json!(4));
        assert_eq!(as_now("lr", &json!(0.5)), json!(0.5)); // no method's
        assert_eq!(as_now("targets", &json!(7)), json!(7)); // damaged: it will differ
    }
}
