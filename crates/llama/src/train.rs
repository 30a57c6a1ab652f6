//! The training step: loss, gradients, clipping, learning rate, update.

use adapter::{Adapter, Optimizer, Real, Schedule, check_shape, tensors};

use ndarray::{Array2, ArrayViewD};

use crate::adapters::{Adapters, Masks, Site};
use crate::random::{Purpose, random};
use crate::{Batch, Error, Llama, Result, Train};

/// What a run does, apart from the model, the adapters and the data.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Adapters only, or everything.
    pub train: Train,
    /// What the optimiser's learning rate is multiplied with at each step.
    pub schedule: Schedule,
    /// The largest gradient norm.
    pub clip: Option<f64>,
    /// Dropout on the adapters' inputs.
    pub dropout: f64,
    /// Seed of the dropout masks.
    pub seed: u64,
}

/// A model in training.
pub struct Trainer<T, A> {
    /// The model.
    pub model: Llama<T>,
    /// Its adapters.
    pub adapters: Adapters<A>,
    /// The optimiser with its state.
    pub optimizer: Box<dyn Optimizer<T>>,
    /// What the run does.
    pub settings: Settings,
    /// Updates made so far.
    pub step: usize,
    /// The optimiser's learning rate as it was given: the schedule's factors multiply it.
    lr: f64,
}

/// What one step did.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Its number, from 0.
    pub step: usize,
    /// Mean loss over the predictions, before the update.
    pub loss: f64,
    /// Norm of the gradient, before clipping.
    pub grad_norm: f64,
    /// Bytes of the gradients.
    pub grad_bytes: usize,
    /// Most bytes kept between a forward and its backward.
    pub saved_bytes: usize,
    /// The part of `saved_bytes` that the adapters keep.
    pub adapter_saved_bytes: usize,
}

impl<T: Real, A: Adapter<T>> Trainer<T, A> {
    /// The learning rate is the optimiser's.
    ///
    /// # Errors
    /// A setting that makes no sense: rate, decay, clip, dropout.
    pub fn new(
        model: Llama<T>,
        adapters: Adapters<A>,
        optimizer: Box<dyn Optimizer<T>>,
        settings: Settings,
    ) -> Result<Self> {
        optimizer.validate()?;
        if let Some(clip) = settings.clip {
            tensors::clip_factor(0.0, clip)?;
        }
        let rng = &mut random(settings.seed, Purpose::Dropout, 0);
        adapters.draw_masks(&model.config, 0, settings.dropout, rng)?;
        let lr = optimizer.group().lr;
        Ok(Self { model, adapters, optimizer, settings, step: 0, lr })
    }

    /// Bytes of the optimiser's state.
    pub fn optimizer_bytes(&self) -> usize {
        let numbers = self.optimizer.state().iter().map(|(_, array)| array.len()).sum::<usize>();
        size_of::<T>() * numbers
    }

    /// How many numbers are trained.
    pub fn trainable(&self) -> usize {
        let sites = self.adapters.iter().map(|(_, adapter)| tensors::count(adapter)).sum();
        match self.settings.train {
            Train::Everything => self.model.parameters(),
            _ => sites,
        }
    }

    /// All that training changed at a site, W_T + ΔW − W₀, \[out, in\]; `start` is the model before the first step. `None`
    /// where there is no adapter.
    ///
    /// # Errors
    /// `start` is another model.
    pub fn change(&self, start: &Llama<T>, site: Site) -> Result<Option<Array2<T>>> {
        let (layer, projection) = site;
        let Some(adapter) = self.adapters.get(site) else { return Ok(None) };
        let weight = self.model.layers[layer].weight(projection);
        let before = start.layers.get(layer).map(|layer| layer.weight(projection));
        let shape = before.map_or(&[][..], |before| before.shape());
        check_shape("start", shape, weight.shape(), "the weight that was trained")?;
        Ok(Some(
            weight + adapter.delta_weight(weight.view())? - start.layers[layer].weight(projection),
        ))
    }

    /// Is everything finite that training changed: the trained numbers and the optimiser's state? A step notices what
    /// the one before it did; whoever keeps the result asks here.
    ///
    /// # Errors
    /// Names the first number that is not.
    pub fn check_finite(&self) -> Result<()> {
        for ((layer, projection), adapter) in self.adapters.iter() {
            let module = projection.module(layer);
            for (name, tensor) in adapter.tensors() {
                finite(format!("{name} of {module}"), tensor)?;
            }
            // Delta-LoRA changes it.
            let weight = self.model.layers[layer].weight(projection);
            finite(format!("the weight of {module}"), weight.view().into_dyn())?;
        }
        if self.settings.train == Train::Everything {
            self.model.tensors().into_iter().try_for_each(|(name, tensor)| finite(name, tensor))?;
        }
        self.optimizer.state().into_iter().try_for_each(|(name, tensor)| finite(name, tensor))
    }

    /// One update from the mean loss over all predictions in `parts`, whose gradients are accumulated one by one.
    ///
    /// # Errors
    /// There is nothing to predict, a token is not in the vocabulary, or training diverged.
    pub fn step(&mut self, parts: &[Batch]) -> Result<Report> {
        let count: usize = parts.iter().map(Batch::predictions).sum();
        if count == 0 {
            return Err(Error::Data("nothing to predict in this batch".into()));
        }
        // Masks are a function of the seed and the step, so that a resumed run draws the same ones.
        let mut rng = random(self.settings.seed, Purpose::Dropout, self.step as u64);
        let (mut loss, mut sum) = (0.0, None);
        let (mut saved_bytes, mut adapter_saved_bytes) = (0, 0);
        for part in parts {
            let masks = match self.settings.dropout {
                0.0 => Masks::new(),
                p => self.adapters.draw_masks(
                    &self.model.config,
                    part.tokens().len(),
                    p,
                    &mut rng,
                )?,
            };
            let (adapters, train) = (&self.adapters, self.settings.train);
            let outcome = self.model.loss_and_grads(adapters, part, &masks, train, count as f64)?;
            loss += outcome.loss.to_f64();
            saved_bytes = saved_bytes.max(outcome.saved_bytes);
            adapter_saved_bytes = adapter_saved_bytes.max(outcome.adapter_saved_bytes);
            match &mut sum {
                None => sum = Some(outcome.grads),
                Some(sum) => sum.accumulate(&outcome.grads)?,
            }
        }
        let mut grads = sum.expect("at least one part has predictions");

        let grad_norm = grads.norm();
        // Without a limit of its own, clipping to infinity still notices a gradient that is not finite.
        let factor = tensors::clip_factor(grad_norm, self.settings.clip.unwrap_or(f64::INFINITY))?;
        if factor < 1.0 {
            grads.scale(factor);
        }
        self.optimizer.set_lr(self.lr * self.settings.schedule.factor(self.step));
        self.adapters.step(&mut self.model, &grads, &mut *self.optimizer)?;
        let report = Report {
            step: self.step,
            loss: loss / count as f64,
            grad_norm,
            grad_bytes: grads.bytes(),
            saved_bytes,
            adapter_saved_bytes,
        };
        self.step += 1;
        Ok(report)
    }
}

/// Fails with the tensor's name if one of its numbers is not finite.
fn finite<T: Real>(name: String, numbers: ArrayViewD<'_, T>) -> Result<()> {
    if numbers.iter().all(|number| number.is_finite()) {
        return Ok(());
    }
    let hint = "training diverged: try a smaller learning rate";
    Err(adapter::Error::NotFinite { name: name.into(), hint: hint.into() }.into())
}
