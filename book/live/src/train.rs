//! The embedded transformer, fine-tuned to sort the other way round: `lowrank finetune`, step by step.

use std::collections::BTreeMap;

use adapter::Real;
use anyhow::{Result, bail};
use finetune::{Data, Plan, Session};
use llama::random::{Purpose, random};
use llama::tiny::{self, ARROW, DIGITS};
use llama::{Llama, Sampling, Score, Site};
use methods::{Method, Tunable, Visitor};
use serde::{Deserialize, Serialize};

use crate::Experiment;

/// The most steps and problems a step: ten times what the book does.
const MOST_STEPS: usize = 4000;
const MOST_BATCH: usize = 320;

/// Steps between two looks at the size of the change.
const CHECK_EVERY: usize = 10;
/// How many times as large as the weight a change may be, in the Frobenius norm.
const MOST_CHANGE: f64 = 10.0;

/// A run, as the reader sets it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Its name on the command line.
    pub method: String,
    /// What the method is told, by name.
    pub options: BTreeMap<String, String>,
    /// Learning rate.
    pub lr: f64,
    /// Updates.
    pub steps: usize,
    /// Problems in a batch.
    pub batch: usize,
    /// Of adapters and data.
    pub seed: u64,
}

/// What a run can be asked.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// What is known before the first step.
    Facts,
    /// One more update.
    Step,
    /// How well it does on the first so many held-out problems.
    HeldOut(usize),
    /// The singular values of all that training changed of a module's weight.
    Change(String),
    /// What the model writes after eight digits.
    Write(String),
}

/// What a run answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To [`Question::Facts`].
    Facts {
        /// How many numbers are trained.
        trainable: usize,
        /// Of so many.
        parameters: usize,
        /// The adapted projections.
        modules: Vec<String>,
        /// What would not stop the run, and is hardly meant.
        warnings: Vec<String>,
    },
    /// To [`Question::Step`].
    Step {
        /// Updates made.
        steps: usize,
        /// Mean loss of the batch, before the update.
        loss: f64,
        /// The learning rate of the update.
        lr: f64,
    },
    /// To [`Question::HeldOut`].
    HeldOut(Score),
    /// To [`Question::Change`]: the largest first.
    Change(Vec<f64>),
    /// To [`Question::Write`].
    Write {
        /// The eight tokens it writes.
        written: String,
        /// The digits, largest first.
        right: String,
    },
}

/// A run in progress.
pub struct Train(Box<dyn Running>);

impl Experiment for Train {
    type Settings = Settings;
    type Question = Question;
    type Answer = Answer;

    /// `file` is `crates/llama/assets/tiny.safetensors`.
    fn start(settings: Settings, file: &[u8]) -> Result<Self> {
        Self::start_in::<f32>(settings, file)
    }

    fn ask(&mut self, question: Question) -> Result<Answer> {
        self.0.ask(question)
    }
}

impl Train {
    /// As [`start`](Experiment::start), in numbers of the type `T`.
    ///
    /// # Errors
    /// As there.
    pub fn start_in<T: Real>(settings: Settings, file: &[u8]) -> Result<Self> {
        let Settings { method, options, lr, steps, batch, seed } = settings;
        let method: Method = method.parse()?;
        let options = options.into_iter().collect();
        let plan = Plan { options, steps, batch, seed, ..Plan::embedded(method, lr) };
        if !(1..=MOST_STEPS).contains(&steps) || !(1..=MOST_BATCH).contains(&batch) {
            bail!("1 to {MOST_STEPS} steps of 1 to {MOST_BATCH} problems can be run here");
        }
        let model = llama::embedded::read::<T>(file)?;
        Ok(Self(method.visit(Start { plan, model })?))
    }
}

/// A run by any method.
trait Running {
    fn ask(&mut self, question: Question) -> Result<Answer>;
}

struct Run<T: Real, M: Tunable<T>> {
    session: Session<T, M>,
    before: Llama<T>,
}

struct Start<T> {
    plan: Plan,
    model: Llama<T>,
}

impl<T: Real> Visitor<T> for Start<T> {
    type Output = Result<Box<dyn Running>>;

    fn visit<M: Tunable<T>>(self) -> Self::Output {
        let Self { plan, model } = self;
        let data = Data::embedded(&plan, Some(plan.seed))?;
        let session = Session::<T, M>::start(plan, model.clone(), data)?;
        Ok(Box::new(Run { session, before: model }))
    }
}

impl<T: Real, M: Tunable<T>> Running for Run<T, M> {
    fn ask(&mut self, question: Question) -> Result<Answer> {
        let Session { trainer, data, .. } = &self.session;
        let (model, adapters) = (&trainer.model, &trainer.adapters);
        Ok(match question {
            Question::Facts => Answer::Facts {
                trainable: trainer.trainable(),
                parameters: model.parameters(),
                modules: self.sites().map(|(layer, projection)| projection.module(layer)).collect(),
                warnings: self.session.warnings()?,
            },
            Question::Step => self.step()?,
            Question::HeldOut(count) => {
                let problems = data.held_out.get(..count).unwrap_or(&data.held_out);
                Answer::HeldOut(model.evaluate(adapters, problems)?)
            }
            Question::Change(module) => Answer::Change(self.change(&module)?),
            Question::Write(digits) => {
                let mut problem = tiny::encode(&digits)?;
                if problem.len() != DIGITS || problem.contains(&ARROW) {
                    bail!("{digits:?}: eight digits are needed");
                }
                let mut sorted = problem.clone();
                sorted.sort_unstable_by(|a, b| b.cmp(a));
                problem.push(ARROW);
                let greedy = Sampling::greedy(DIGITS, Vec::new());
                // The likeliest token needs no random numbers.
                let rng = &mut random(0, Purpose::Sampling, 0);
                let written = model.generate(adapters, &problem, &greedy, rng, |_| ())?;
                Answer::Write { written: tiny::decode(&written), right: tiny::decode(&sorted) }
            }
        })
    }
}

impl<T: Real, M: Tunable<T>> Run<T, M> {
    fn step(&mut self) -> Result<Answer> {
        if self.session.left() == 0 {
            bail!("the run has made its {} steps", self.session.plan.steps);
        }
        let (report, _) = self.session.step()?;
        let steps = report.step + 1;
        if steps.is_multiple_of(CHECK_EVERY) && report.loss > (10f64).ln() {
            self.check_change()?;
        }
        let lr = self.session.trainer.optimizer.group().lr;
        Ok(Answer::Step { steps, loss: report.loss, lr })
    }

    /// Adam's steps stay finite at any rate. But a change that outgrows the weight leaves nothing of the model, and a loss
    /// above ln 10 is worse than guessing the digits.
    fn check_change(&self) -> Result<()> {
        for (layer, projection) in self.sites() {
            let Some(change) = self.session.trainer.change(&self.before, (layer, projection))?
            else {
                continue;
            };
            let [change, weight] =
                [change.view(), self.before.layers[layer].weight(projection).view()]
                    .map(rank::frobenius);
            if !(change <= MOST_CHANGE * weight) {
                bail!(
                    "training diverged: the loss is worse than guessing, and the change of {} is {:.0} times as large \
                     as the weight: try a smaller learning rate",
                    projection.module(layer),
                    change / weight
                );
            }
        }
        Ok(())
    }

    fn change(&self, module: &str) -> Result<Vec<f64>> {
        let site = self.sites().find(|(layer, projection)| projection.module(*layer) == module);
        let change =
            site.map(|site| self.session.trainer.change(&self.before, site)).transpose()?.flatten();
        let Some(change) = change else { bail!("there is no adapter on {module}") };
        Ok(rank::svd(change.mapv(Real::to_f64).view())?.s.to_vec())
    }

    fn sites(&self) -> impl Iterator<Item = Site> {
        self.session.trainer.adapters.iter().map(|(site, _)| site)
    }
}
