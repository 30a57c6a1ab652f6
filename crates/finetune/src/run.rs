//! One row of a comparison, run once, and what was measured.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use adapter::Real;
use llama::{Llama, Score};
use methods::{Tunable, Visitor};
use serde::{Deserialize, Serialize};

use crate::{ByKind, Data, Error, Plan, Result, Session, Step};

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
    /// On so many threads, where whoever set them says so.
    #[serde(default)]
    pub threads: Option<usize>,
    /// Training loss before each update.
    pub losses: Vec<f64>,
    /// Singular values of all that training changed, W_T + ΔW − W₀, by module: the adapted projections of the first,
    /// the middle and the last layer. Those that full fine-tuning is compared on are queries and values.
    pub spectra: BTreeMap<String, Vec<f64>>,
    /// Mean of their effective ranks.
    pub effective_rank: f64,
}

/// Train a copy of `model` by `plan`; `progress` sees each step. `compared` are the projections whose change is
/// decomposed, as far as the method adapts them.
///
/// # Errors
/// The plan makes no sense, the data does not fit the model, or training diverged.
pub fn run<T: Real>(
    plan: &Plan,
    model: &Llama<T>,
    data: &Data,
    compared: &[llama::Projection],
    progress: &mut dyn FnMut(&Step),
) -> Result<Record> {
    plan.method.visit(Run { plan, model, data, compared, progress })
}

struct Run<'a, T> {
    plan: &'a Plan,
    model: &'a Llama<T>,
    data: &'a Data,
    compared: &'a [llama::Projection],
    progress: &'a mut dyn FnMut(&Step),
}

impl<T: Real> Visitor<T> for Run<'_, T> {
    type Output = Result<Record>;

    fn visit<M: Tunable<T>>(self) -> Result<Record> {
        let Self { plan, model, data, compared, progress } = self;
        let mut session = Session::<T, M>::start(plan.clone(), model.clone(), data.clone())?;
        let score = |session: &Session<T, M>| {
            let held_out = || Error::Option("a comparison needs held-out data".into());
            session.evaluate(&|| true)?.ok_or_else(held_out)
        };
        let before = score(&session)?;
        let _ = session.train::<Error>(&mut |_, step| {
            progress(step);
            Ok(ControlFlow::Continue(()))
        })?;
        let (spectra, effective_rank) = spectra(model, &session, compared)?;
        Ok(Record {
            lr: plan.lr,
            seed: plan.seed,
            trainable: session.trainer.trainable(),
            bytes: session.bytes(),
            adapter_saved_bytes: session.adapter_saved_bytes(),
            before,
            after: score(&session)?,
            seconds_per_step: session.seconds_per_step().unwrap_or(0.0),
            threads: None,
            losses: session.steps.iter().map(|step| step.report.loss).collect(),
            spectra,
            effective_rank,
        })
    }
}

/// The singular values of what changed, and the mean of their effective ranks.
fn spectra<T: Real, M: Tunable<T>>(
    start: &Llama<T>,
    session: &Session<T, M>,
    compared: &[llama::Projection],
) -> Result<(BTreeMap<String, Vec<f64>>, f64)> {
    let last = start.layers.len() - 1;
    let (mut spectra, mut ranks) = (BTreeMap::new(), Vec::new());
    for ((layer, projection), _) in session.trainer.adapters.iter() {
        if !([0, last / 2, last].contains(&layer) && compared.contains(&projection)) {
            continue;
        }
        let change = session.trainer.change(start, (layer, projection))?;
        let Some(change) = change else { continue };
        let svd = rank::svd(change.mapv(Real::to_f64).view())?;
        ranks.push(svd.effective_rank());
        spectra.insert(projection.module(layer), svd.s.to_vec());
    }
    let mean = ranks.iter().sum::<f64>() / ranks.len().max(1) as f64;
    Ok((spectra, mean))
}
