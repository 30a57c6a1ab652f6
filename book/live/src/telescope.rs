//! Delta-LoRA beside the LoRA of scale (1 + λ) s, on a small layer: the same losses if W moves from the start, and in any case
//! no more than 2r singular values in what W moved.

use adapter::{AdamVariant, AdamW, Adapter, Group};
use anyhow::{Result, bail};
use delta_lora::{DeltaLora, Settings as Moves};
use lora::{Init, Lora, Scaling};
use ndarray::{ArcArray2, Array2};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::Experiment;

const OUT: usize = 12;
const INPUTS: usize = 16;
const TOKENS: usize = 64;
const UPDATES: u64 = 200;
/// AdamW's. ε is far from 0, so that a wrong one would show.
const RATE: f64 = 0.02;
const EPSILON: f64 = 1e-4;

/// There is nothing to set.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {}

/// How W moves.
#[derive(Clone, Debug, Deserialize)]
pub struct Question {
    /// r.
    pub rank: usize,
    /// λ.
    pub lambda: f64,
    /// K: W moves from the update after this one on.
    pub start_step: u64,
}

/// Both runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// Delta-LoRA's loss before each update, and after the last.
    pub delta_lora: Vec<f64>,
    /// LoRA's with the scale (1 + λ) s and 1 + λ times the ε.
    pub lora: Vec<f64>,
    /// The singular values of W_T − W₀, without s B A.
    pub singular_values: Vec<f64>,
}

/// Least squares towards a layer that differs from W in every direction.
pub struct Telescope {
    weight: Array2<f64>,
    x: ArcArray2<f64>,
    target: Array2<f64>,
}

impl Experiment for Telescope {
    type Settings = Settings;
    type Question = Question;
    type Answer = Answer;

    fn start(_: Settings, _: &[u8]) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut gaussian =
            |shape| Array2::from_shape_simple_fn(shape, || StandardNormal.sample(&mut rng));
        let (weight, x) = (gaussian((OUT, INPUTS)), gaussian((TOKENS, INPUTS)).into_shared());
        Ok(Self { target: x.dot(&gaussian((INPUTS, OUT))), weight, x })
    }

    fn ask(&mut self, Question { rank, lambda, start_step }: Question) -> Result<Answer> {
        if rank > OUT {
            bail!("the rank is {rank}, and a matrix of {OUT} × {INPUTS} has at most {OUT}");
        }
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let (shape, alpha) = ([OUT, INPUTS], 1.5 * rank as f64);
        let start = Lora::init(shape, rank, alpha, Scaling::AlphaOverR, Init::default(), &mut rng)?;
        let c = 1.0 + lambda;
        let beside = Lora { scale: c * start.scale, ..start.clone() };
        let moves = Moves { lambda, start_step, include_scale: true };
        let (delta_lora, moved) = self.train(DeltaLora::new(start, moves)?, EPSILON)?;
        let (lora, _) = self.train(beside, c * EPSILON)?;
        let singular_values = rank::svd((moved - &self.weight).view())?.s.to_vec();
        Ok(Answer { delta_lora, lora, singular_values })
    }
}

impl Telescope {
    /// The losses, and W after all updates.
    fn train<A: Adapter<f64>>(&self, mut adapter: A, eps: f64) -> Result<(Vec<f64>, Array2<f64>)> {
        let group = Group { lr: RATE, weight_decay: 0.0 };
        let mut adamw = AdamW { eps, ..AdamW::new(group, AdamVariant::Torch) };
        let (mut weight, mut losses) = (self.weight.clone(), Vec::new());
        for update in 0..=UPDATES {
            let (y, saved) = adapter.forward(weight.view(), &self.x, None)?;
            let error = y - &self.target;
            losses.push(0.5 * error.mapv(|error| error * error).sum() / TOKENS as f64);
            if update < UPDATES {
                let grad_y = error / TOKENS as f64;
                let (_, grads) = adapter.backward(weight.view(), &saved, grad_y.view())?;
                adapter.step(&mut weight, &grads, &mut adamw)?;
            }
        }
        Ok((losses, weight))
    }
}
