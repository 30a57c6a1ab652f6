//! Training and held-out examples.

use adapter::{Adapter, Real};
use llama::data::{Dataset, Example};
use llama::random::{Purpose, random};
use llama::tiny::Task;
use llama::{Adapters, Batch, Llama, Score};

use crate::{Error, Plan, Result};

/// What is trained on, and what is not.
#[derive(Clone, Debug)]
pub struct Data {
    training: Dataset,
    /// What [`evaluate`](Self::evaluate) looks at.
    pub held_out: Vec<Example>,
}

impl Data {
    /// Examples in an order that `seed` decides, or in their own.
    ///
    /// # Errors
    /// There is nothing to train on.
    pub fn new(training: Vec<Example>, held_out: Vec<Example>, seed: Option<u64>) -> Result<Self> {
        Ok(Self { training: Dataset::new(training, seed)?, held_out })
    }

    /// The embedded model's task: fresh problems for every step, in an order that `seed` decides, and a thousand held out.
    ///
    /// # Errors
    /// Never for a plan that passes its own checks.
    pub fn embedded(plan: &Plan, seed: Option<u64>) -> Result<Self> {
        let count = plan.steps * plan.batch * plan.accumulate;
        // The held-out problems are the same whatever the seed of a run.
        Self::new(problems(plan.seed, TRAIN, count.max(1)), problems(0, REPORT, HELD_OUT), seed)
    }

    /// Other problems of the embedded model's task, to choose settings by: those of [`embedded`](Self::embedded) stay
    /// unseen.
    pub fn embedded_for_choosing() -> Vec<Example> {
        problems(0, CHOOSE, HELD_OUT)
    }

    /// What is trained on, in the order in which it was given.
    pub fn training(&self) -> &[Example] {
        self.training.examples()
    }

    /// The batches of one step.
    ///
    /// # Errors
    /// Never for data that was made.
    pub fn batches(&self, plan: &Plan, step: usize) -> Result<Vec<Batch>> {
        let (size, parts) = (plan.batch, plan.accumulate);
        let part = |i| Ok(self.training.batch((step * parts + i) * size, size)?);
        (0..parts).map(part).collect()
    }

    /// How well the model does on the held-out examples; `None` when there are none, or when `go_on`, which is asked now
    /// and then, says no.
    ///
    /// # Errors
    /// An example does not fit the model, or the loss is not finite.
    pub fn evaluate<T: Real, A: Adapter<T>>(
        &self,
        model: &Llama<T>,
        adapters: &Adapters<A>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Score>> {
        if self.held_out.is_empty() {
            return Ok(None);
        }
        Ok(model.evaluate_while(adapters, &self.held_out, go_on)?)
    }

    /// Examples in three parts, to train on, to choose settings by and to report: of every ten one and one are held out.
    ///
    /// # Errors
    /// There are fewer than ten.
    pub fn split(examples: Vec<Example>) -> Result<[Vec<Example>; 3]> {
        if examples.len() < 10 {
            return Err(Error::Option(format!(
                "there are {} examples, and a comparison needs at least 10, to hold some out: give more text, or a \
                 smaller --seq-len",
                examples.len()
            )));
        }
        let mut parts = [const { Vec::new() }; 3];
        for (i, example) in examples.into_iter().enumerate() {
            let part = match i % 10 {
                8 => 1,
                9 => 2,
                _ => 0,
            };
            parts[part].push(example);
        }
        Ok(parts)
    }
}

const HELD_OUT: usize = 1000;
/// The three sets of problems.
const TRAIN: u64 = 0;
const CHOOSE: u64 = 1;
const REPORT: u64 = 2;

fn problems(seed: u64, set: u64, count: usize) -> Vec<Example> {
    Task::Descending.examples(count, &mut random(seed, Purpose::Problems, set))
}
