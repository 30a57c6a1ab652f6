//! A task on which pairs of learning rates can be tried: the book's landscape, and `examples/rates.rs`.

use adapter::{AdamVariant, AdamW, Adapter, Error, Group, Optimizer, Result};
use lora::{Init, Lora, Scaling};
use ndarray::{ArcArray2, Array2};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use crate::{Groups, LoraPlus};

const INPUTS: usize = 8;
const TOKENS: usize = 64;

/// y = relu(x Wᵀ) vᵀ on features x = relu(z Uᵀ) of inputs z. U, W and v are frozen; the teacher has W + C with C of rank 4.
pub struct Task {
    weight: Array2<f64>,
    readout: Array2<f64>,
    x: ArcArray2<f64>,
    wanted: Array2<f64>,
    start: Lora<f64>,
}

impl Task {
    /// r, of the student and of the teacher's C.
    pub const RANK: usize = 4;
    /// Updates of AdamW in a run.
    pub const UPDATES: usize = 10;

    /// The task of this number, with layers of this width.
    ///
    /// # Errors
    /// The width is below the rank, 4.
    pub fn new(number: u64, width: usize) -> Result<Self> {
        if width < Self::RANK {
            return Err(Error::value("width", width, "it must be 4, the rank, or more"));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(number);
        let mut gaussian = |rows, columns, variance: f64| {
            let draw = || -> f64 { StandardNormal.sample(&mut rng) };
            Array2::from_shape_simple_fn((rows, columns), draw) * variance.sqrt()
        };
        let (n, r) = (width as f64, Self::RANK as f64);
        let weight = gaussian(width, width, 1.0 / n);
        let readout = gaussian(1, width, 1.0 / n);
        let x = gaussian(TOKENS, INPUTS, 1.0).dot(&gaussian(INPUTS, width, 1.0 / INPUTS as f64));
        let x = relu(&x).into_shared();
        let change =
            gaussian(width, Self::RANK, 1.0 / r).dot(&gaussian(Self::RANK, width, 1.0 / n));
        let wanted = relu(&x.dot(&(&weight + &change).t())).dot(&readout.t());
        let shape = [width, width];
        let start =
            Lora::init(shape, Self::RANK, r, Scaling::AlphaOverR, Init::default(), &mut rng)?;
        Ok(Self { weight, readout, x, wanted, start })
    }

    // ANCHOR: train
    /// The loss after all updates at these rates of A and B; NaN where they overflow.
    ///
    /// # Errors
    /// A rate, or their ratio, is no positive number.
    pub fn train(&self, lr_a: f64, lr_b: f64) -> Result<f64> {
        let mut layer = LoraPlus { lora: self.start.clone(), groups: Groups::new(lr_b / lr_a)? };
        let mut adamw = AdamW::new(Group { lr: lr_a, weight_decay: 0.0 }, AdamVariant::Torch);
        Optimizer::<f64>::validate(&adamw)?;
        let mut weight = self.weight.clone();
        for _ in 0..Self::UPDATES {
            let (hidden, saved) = layer.forward(weight.view(), &self.x, None)?;
            let error = self.error(&hidden) / TOKENS as f64;
            let grad_hidden = error.dot(&self.readout) * hidden.mapv(|h| f64::from(h > 0.0));
            let (_, grads) = layer.backward(weight.view(), &saved, grad_hidden.view())?;
            layer.step(&mut weight, &grads, &mut adamw)?;
        }
        let (hidden, _) = layer.forward(weight.view(), &self.x, None)?;
        Ok(0.5 * self.error(&hidden).mapv(|e| e * e).mean().unwrap_or(f64::NAN))
    }
    // ANCHOR_END: train

    /// Of the prediction, \[tokens, 1\].
    fn error(&self, hidden: &Array2<f64>) -> Array2<f64> {
        relu(hidden).dot(&self.readout.t()) - &self.wanted
    }
}

fn relu(matrix: &Array2<f64>) -> Array2<f64> {
    // Not value.max(0.0), which makes 0 of a NaN: a run that overflows must not look like one that predicts 0.
    matrix.mapv(|value| if value < 0.0 { 0.0 } else { value })
}

/// exp of the mean logarithm; NaN if a value is NaN.
pub fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}
