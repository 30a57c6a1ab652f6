//! Training and held-out examples.

use adapter::{Adapter, Real};
use llama::data::{Dataset, Example};
use llama::tiny::Task;
use llama::{Adapters, Batch, Llama, Score};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest as _, Sha256};

use crate::{Error, Plan, Result};

/// What is trained on, and what is not.
#[derive(Clone, Debug)]
pub struct Data {
    training: Dataset,
    /// What [`evaluate`](Self::evaluate) looks at.
    pub held_out: Vec<Example>,
}

/// SHA-256 of the tokens of examples, and of which are learnt, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Digest(String);

impl Digest {
    /// Of these, in this order.
    pub fn of(examples: &[Example]) -> Self {
        let mut hash = Sha256::new();
        for Example { tokens, learnt } in examples {
            for &number in [tokens.len() as u32].iter().chain(tokens) {
                hash.update(number.to_le_bytes());
            }
            hash.update(learnt.iter().copied().map(u8::from).collect::<Vec<_>>());
        }
        Self(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
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
        Self::new(problems(plan.seed, count.max(1)), problems(u64::MAX, HELD_OUT), seed)
    }

    /// Other problems of the embedded model's task, to choose settings by: those of [`embedded`](Self::embedded) stay
    /// unseen.
    pub fn embedded_for_choosing() -> Vec<Example> {
        problems(u64::MAX - 1, HELD_OUT)
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

    /// How well the model does on the held-out examples; `None` when there are none.
    ///
    /// # Errors
    /// An example does not fit the model, or the loss is not finite.
    pub fn evaluate<T: Real, A: Adapter<T>>(
        &self,
        model: &Llama<T>,
        adapters: &Adapters<A>,
    ) -> Result<Option<Score>> {
        if self.held_out.is_empty() {
            return Ok(None);
        }
        Ok(Some(model.evaluate(adapters, &self.held_out)?))
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

fn problems(seed: u64, count: usize) -> Vec<Example> {
    Task::Descending.examples(count, &mut ChaCha8Rng::seed_from_u64(seed))
}
