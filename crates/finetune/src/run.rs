//! One row of a comparison, run once, and what was measured.

use std::collections::BTreeMap;
use std::time::Instant;

use adapter::{Ledger, Real};
use llama::{Llama, Report, Score, Trainer};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{Data, Job, Method, Plan, Result};

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

/// What a run was, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Learning rate.
    pub lr: f64,
    /// Seed.
    pub seed: u64,
    /// How many numbers were trained.
    pub trainable: usize,
    /// Bytes by kind.
    pub bytes: ByKind,
    /// The part of `bytes.saved` that the adapters kept; the rest is kept whatever the method.
    pub adapter_saved_bytes: usize,
    /// On held-out examples, before the first step.
    pub before: Score,
    /// After the last.
    pub after: Score,
    /// Median time of a step.
    pub seconds_per_step: f64,
    /// Training loss before each update.
    pub losses: Vec<f64>,
    /// Singular values of all that training changed, W_T + ΔW − W₀, by module: the adapted projections of the first,
    /// the middle and the last layer. Those that full fine-tuning is compared on are the same.
    pub spectra: BTreeMap<String, Vec<f64>>,
    /// Mean of their effective ranks.
    pub effective_rank: f64,
}

/// Train a copy of `model` by `plan`; `progress` sees each step.
///
/// # Errors
/// The plan makes no sense, the data does not fit the model, or training diverged.
pub fn run<T: Real>(
    plan: &Plan,
    model: &Llama<T>,
    data: &Data,
    progress: &mut dyn FnMut(&Report),
) -> Result<Record> {
    plan.method.dispatch(Run { plan, model, data, progress })
}

struct Run<'a, T> {
    plan: &'a Plan,
    model: &'a Llama<T>,
    data: &'a Data,
    progress: &'a mut dyn FnMut(&Report),
}

impl<T: Real> Job<T> for Run<'_, T> {
    type Output = Result<Record>;

    fn run<M: Method<T>>(self) -> Result<Record> {
        let Self { plan, model, data, progress } = self;
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
        let adapters = M::fresh(&model.config, &plan.options, &mut rng)?;
        let mut trainer: Trainer<T, M> = plan.trainer(model.clone(), adapters)?;
        let score = |trainer: &Trainer<T, M>| {
            let score = data.evaluate(&trainer.model, &trainer.adapters)?;
            score.ok_or_else(|| crate::Error::Option("a comparison needs held-out data".into()))
        };
        let before = score(&trainer)?;
        let (mut losses, mut seconds) = (Vec::new(), Vec::new());
        let (mut gradients, mut saved, mut adapter_saved_bytes) = (0, 0, 0);
        while trainer.step < plan.steps {
            let batches = data.batches(plan, trainer.step)?;
            let start = Instant::now();
            let report = trainer.step(&batches)?;
            seconds.push(start.elapsed().as_secs_f64());
            losses.push(report.loss);
            gradients = gradients.max(report.grad_bytes);
            saved = saved.max(report.saved_bytes);
            adapter_saved_bytes = adapter_saved_bytes.max(report.adapter_saved_bytes);
            progress(&report);
        }
        let weights = size_of::<T>() * trainer.model.parameters() + Ledger::of(&trainer.adapters);
        let optimizer = trainer.optimizer_bytes();
        let (spectra, effective_rank) = spectra(model, &trainer, plan)?;
        Ok(Record {
            lr: plan.lr,
            seed: plan.seed,
            trainable: trainer.trainable(),
            bytes: ByKind { weights, gradients, optimizer, saved },
            adapter_saved_bytes,
            before,
            after: score(&trainer)?,
            seconds_per_step: median(seconds),
            losses,
            spectra,
            effective_rank,
        })
    }
}

/// The singular values of what changed, and the mean of their effective ranks.
fn spectra<T: Real, M: Method<T>>(
    start: &Llama<T>,
    trainer: &Trainer<T, M>,
    plan: &Plan,
) -> Result<(BTreeMap<String, Vec<f64>>, f64)> {
    let last = start.layers.len() - 1;
    let (mut spectra, mut ranks) = (BTreeMap::new(), Vec::new());
    for ((layer, projection), adapter) in trainer.adapters.iter() {
        let shown = [0, last / 2, last].contains(&layer);
        if !shown || !plan.options.targets.contains(&projection) {
            continue;
        }
        let weight = trainer.model.layers[layer].weight(projection);
        let delta = adapter.delta_weight(weight.view())?;
        let change = weight + delta - start.layers[layer].weight(projection);
        let svd = rank::svd(change.mapv(Real::to_f64).view())?;
        ranks.push(svd.effective_rank());
        spectra.insert(projection.module(layer), svd.s.to_vec());
    }
    let mean = ranks.iter().sum::<f64>() / ranks.len().max(1) as f64;
    Ok((spectra, mean))
}

/// The middle one; of none 0.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
