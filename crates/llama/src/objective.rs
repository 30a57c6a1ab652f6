//! The loss of a batch, and its gradients.

use adapter::parallel::multiply;
use adapter::{Adapter, Ledger, Real, cross_entropy, cross_entropy_loss};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, Axis};

use crate::adapters::{Adapters, Grads, Masks};
use crate::data::{Example, nothing_to_predict};
use crate::sampling::likeliest;
use crate::{Batch, Error, Llama, Result, Train};

/// The loss of a batch and what it took.
pub struct Outcome<T, G> {
    /// Σ over the predictions of −ln p(target). Divide by [`Batch::predictions`] for the mean.
    pub loss: T,
    /// The gradients of the loss divided by the denominator.
    pub grads: Grads<T, G>,
    /// Bytes kept between forward and backward, everything counted once.
    pub saved_bytes: usize,
    /// The part of `saved_bytes` that the adapters keep.
    pub adapter_saved_bytes: usize,
}

/// How well a model does on held-out examples.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Score {
    /// Mean of −ln p(target).
    pub loss: f64,
    /// Fraction of examples answered exactly.
    pub exact: f64,
}

impl<T: Real> Llama<T> {
    /// Σ −ln p(target) over the batch's predictions, without gradients.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), or the loss is not finite.
    pub fn loss<A: Adapter<T>>(&self, adapters: &Adapters<A>, batch: &Batch) -> Result<T> {
        let (hidden, _) = self.forward(adapters, batch, &Masks::new(), Train::Nothing)?;
        let (chosen, targets, _) = predictions(&hidden, batch);
        Ok(cross_entropy_loss(self.logits(chosen.view()), &targets)?)
    }

    /// Mean loss over the predictions of `examples`, and the fraction of examples that are answered exactly: each
    /// token to be learnt is the likeliest one. Of tokens that are equally likely the first counts, as in
    /// [`generate`](Self::generate).
    ///
    /// If the likeliest token is right at each place of an answer given the right tokens before it, then greedy
    /// generation writes just that answer, so one forward pass tells.
    ///
    /// # Errors
    /// There is no example, or one has nothing to predict or does not fit the model.
    pub fn evaluate<A: Adapter<T>>(
        &self,
        adapters: &Adapters<A>,
        examples: &[Example],
    ) -> Result<Score> {
        let score = self.evaluate_while(adapters, examples, &|| true)?;
        Ok(score.expect("nobody breaks it off"))
    }

    /// [`evaluate`](Self::evaluate) for as long as `go_on`, which is asked now and then, says so; `None` if it said no.
    ///
    /// # Errors
    /// As there.
    pub fn evaluate_while<A: Adapter<T>>(
        &self,
        adapters: &Adapters<A>,
        examples: &[Example],
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Score>> {
        if examples.is_empty() {
            return Err(Error::Data("there is nothing to evaluate on".into()));
        }
        // Without a target nothing is wrong, and the loss is 0/0.
        if let Some(i) = examples.iter().position(|example| example.predictions() == 0) {
            return Err(nothing_to_predict(i));
        }
        let (mut loss, mut count, mut exact) = (0.0, 0, 0);
        for examples in examples.chunk_by(fit_together()) {
            if !go_on() {
                return Ok(None);
            }
            let mut batch = Batch::new();
            for example in examples {
                batch.push_example(example)?;
            }
            let (hidden, _) = self.forward(adapters, &batch, &Masks::new(), Train::Nothing)?;
            let (sum, targets, right) = self.score(&hidden, &batch)?;
            loss += sum;
            count += targets;
            exact += right;
        }
        let exact = exact as f64 / examples.len() as f64;
        Ok(Some(Score { loss: loss / count as f64, exact }))
    }

    /// The summed loss of a batch, its number of targets, and how many sequences have all of theirs right.
    fn score(&self, hidden: &Array2<T>, batch: &Batch) -> Result<(f64, usize, usize)> {
        let (chosen, targets, rows) = predictions(hidden, batch);
        let logits = self.logits(chosen.view());
        let mut wrong = vec![false; hidden.nrows()];
        for ((logits, &row), target) in logits.outer_iter().zip(&rows).zip(targets.iter().flatten())
        {
            // A NaN is wrong, since then no token is the likeliest.
            wrong[row] = likeliest(logits) != Some(*target);
        }
        let right = batch.spans().filter(|rows| !wrong[rows.clone()].contains(&true)).count();
        Ok((cross_entropy_loss(logits, &targets)?.to_f64(), targets.len(), right))
    }

    /// The loss of a batch and the gradients of loss / `denominator`.
    ///
    /// `denominator` is the number of predictions in all the batches whose gradients will be added up.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), or the loss is not finite.
    pub fn loss_and_grads<A: Adapter<T>>(
        &self,
        adapters: &Adapters<A>,
        batch: &Batch,
        masks: &Masks,
        train: Train,
        denominator: f64,
    ) -> Result<Outcome<T, A::Grads>> {
        let (hidden, saved) = self.forward(adapters, batch, masks, train)?;
        let (saved_bytes, adapter_saved_bytes) = (Ledger::of(&saved), saved.adapter_bytes());

        // Only rows with a target get logits: they are the widest rows of the whole step.
        let (chosen, targets, rows) = predictions(&hidden, batch);
        let logits = self.logits(chosen.view()); // [chosen, hidden]·[hidden, vocabulary]
        let capped = self.config.variant.logits_cap.map(|_| logits.clone());
        let (loss, mut grad_logits) = cross_entropy(logits, &targets, denominator)?;
        self.logits_backward(capped.as_ref(), &mut grad_logits);
        let grad_chosen = multiply(grad_logits.view(), self.head().view()); // [chosen, vocabulary]·[vocabulary, hidden]
        let mut grad_hidden = Array2::zeros(hidden.dim());
        for (&row, grad) in rows.iter().zip(grad_chosen.outer_iter()) {
            grad_hidden.row_mut(row).assign(&grad);
        }

        let mut grads = self.backward(adapters, &saved, grad_hidden.view())?;
        if let Some(model) = &mut grads.model {
            // A tied matrix is used twice, so it gets two gradients.
            let grad_head = model.head.as_mut().unwrap_or(&mut model.embedding);
            // [vocabulary, chosen]·[chosen, hidden]
            general_mat_mul(T::one(), &grad_logits.t(), &chosen, T::one(), grad_head);
        }
        Ok(Outcome { loss, grads, saved_bytes, adapter_saved_bytes })
    }
}

/// Cuts examples into batches: as many as share about a thousand tokens, whose logits are still of modest size.
fn fit_together() -> impl FnMut(&Example, &Example) -> bool {
    let mut tokens = 0;
    move |one, next| {
        tokens += one.tokens.len();
        let fits = tokens + next.tokens.len() <= 1024;
        tokens = if fits { tokens } else { 0 };
        fits
    }
}

/// The rows that predict something: their hidden states, targets and row numbers.
fn predictions<T: Real>(
    hidden: &Array2<T>,
    batch: &Batch,
) -> (Array2<T>, Vec<Option<u32>>, Vec<usize>) {
    let rows: Vec<usize> =
        (0..hidden.nrows()).filter(|&row| batch.targets()[row].is_some()).collect();
    let targets = rows.iter().map(|&row| batch.targets()[row]).collect();
    (hidden.select(Axis(0), &rows), targets, rows)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use adapter::Full;

    use super::*;
    use crate::random::{Purpose, random};
    use crate::tiny::{self, Task};

    #[test]
    fn an_evaluation_can_be_broken_off() {
        let model = tiny::model::<f32>().unwrap();
        let examples = Task::Ascending.examples(200, &mut random(0, Purpose::Problems, 0));
        let (none, asked) = (Adapters::<Full>::none(), Cell::new(0));
        let ask = |times: usize| {
            asked.set(0);
            let go_on = || {
                asked.set(asked.get() + 1);
                asked.get() <= times
            };
            model.evaluate_while(&none, &examples, &go_on).unwrap()
        };
        assert_eq!(ask(usize::MAX), Some(model.evaluate(&none, &examples).unwrap()));
        assert!(asked.get() > 1, "asked between the batches");
        assert_eq!(ask(1), None);
        assert_eq!(asked.get(), 2);
    }
}
