//! What a run will hold in memory, told before its first step.

use std::cmp::Reverse;

use adapter::{Ledger, Real};
use llama::data::Example;
use llama::random::{Purpose, random};
use llama::{Batch, Masks};
use methods::Tunable;

use crate::{ByKind, OptimizerKind, Result, Session};

/// What a run will hold in the step of most tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// What [`Session::bytes`] will count. Where batches are of unequal length, `saved` is that of the longest examples
    /// together, whether or not they meet in one batch.
    pub held: ByKind,
    /// Bytes of the logits of all predictions, which become their own gradient: the widest rows of a step.
    pub logits: usize,
}

impl Estimate {
    /// All of it. A run needs somewhat more, for arrays that live within one layer's pass.
    pub fn total(&self) -> usize {
        self.held.values().iter().sum::<usize>() + self.logits
    }
}

impl<T: Real, M: Tunable<T>> Session<T, M> {
    /// What this run will hold. Three forward passes of one, two and three tokens are made to tell it.
    ///
    /// # Errors
    /// An adapter does not fit its layer.
    pub fn estimate(&self) -> Result<Estimate> {
        let plan = &self.plan;
        let trained = size_of::<T>() * self.trainer.trainable();
        let moments = match plan.optimizer {
            OptimizerKind::Sgd => 0,
            OptimizerKind::AdamW(_) => 2,
        };
        let weights = self.bytes().weights;
        let held = ByKind {
            weights,
            gradients: trained,
            optimizer: moments * trained,
            saved: self.saved(&longest(self.data.training(), plan.batch))?,
        };
        let mut predictions: Vec<usize> =
            self.data.training().iter().map(Example::predictions).collect();
        predictions.sort_unstable_by_key(|&count| Reverse(count));
        let rows: usize = predictions.iter().cycle().take(plan.batch).sum();
        let config = &self.trainer.model.config;
        // A cap on the logits is differentiated with a copy of them.
        let copies = 1 + usize::from(config.variant.logits_cap.is_some());
        let logits = copies * size_of::<T>() * rows * config.vocab_size;
        Ok(Estimate { held, logits })
    }

    /// Bytes that a batch of sequences of these lengths saves. A sequence of n tokens saves a + b n + c n² bytes: c for
    /// attention, where every token looks at every other, and the a are shared by the batch.
    fn saved(&self, lengths: &[usize]) -> Result<usize> {
        let [one, two, three] = [self.probe(1)?, self.probe(2)?, self.probe(3)?];
        // Second difference, first difference, value.
        let c = (three + one - 2 * two) / 2;
        let b = two - one - 3 * c;
        let a = one - b - c;
        let tokens: usize = lengths.iter().sum();
        let squares: usize = lengths.iter().map(|length| length * length).sum();
        let bytes = a + b * tokens as i128 + c * squares as i128;
        Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// Bytes that a forward pass of so many tokens saves.
    fn probe(&self, tokens: usize) -> Result<i128> {
        let (trainer, p) = (&self.trainer, self.trainer.settings.dropout);
        let batch = Batch::next_token([&vec![0; tokens][..]])?;
        let masks = match p {
            0.0 => Masks::new(),
            p => {
                let mut rng = random(0, Purpose::Dropout, 0);
                trainer.adapters.draw_masks(&trainer.model.config, tokens, p, &mut rng)?
            }
        };
        let train = trainer.settings.train;
        let (_, saved) = trainer.model.forward(&trainer.adapters, &batch, &masks, train)?;
        Ok(Ledger::of(&saved) as i128)
    }
}

/// The lengths of the `count` longest examples, some of them more than once where there are fewer.
fn longest(examples: &[Example], count: usize) -> Vec<usize> {
    let mut lengths: Vec<usize> = examples.iter().map(|example| example.tokens.len()).collect();
    lengths.sort_unstable_by_key(|&length| Reverse(length));
    lengths.iter().copied().cycle().take(count).collect()
}
