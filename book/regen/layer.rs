//! One layer under each method, really run: a forward and a backward pass and an update, and what is held in between.

use adapter::{AdamVariant, AdamW, Adapter, Full, Group, Ledger, Optimizer, tensors};
use anyhow::Result;
use delta_lora::{DeltaLora, Settings};
use dora::Dora;
use lora::{Init, Lora, Scaling};
use lora_fa::{LoraFa, Variant};
use lora_plus::{Groups, LoraPlus};
use methods::Method;
use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use vera::{Projections, Vera};

/// r of all but VeRA, whose rank costs little.
pub const RANK: usize = 8;
/// r of VeRA: PEFT's default.
pub const VERA_RANK: usize = 256;
/// The rows of x.
pub const TOKENS: usize = 256;

/// What one layer holds in a training step, in f32.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    pub shape: [usize; 2],
    pub rank: usize,
    /// Numbers.
    pub trained: usize,
    /// Bytes: of what no gradient reaches, W included, but for what other layers share.
    pub frozen: usize,
    /// Bytes: of what other layers hold too.
    pub shared: usize,
    /// Bytes: of Adam's two averages.
    pub optimizer: usize,
    /// Bytes: kept by the forward pass for the backward pass.
    pub kept: usize,
}

impl Facts {
    /// Of W, and of all that a method puts beside it.
    pub fn weights(&self) -> usize {
        self.frozen + self.shared + self.gradients()
    }

    /// As many bytes as what is trained.
    pub fn gradients(&self) -> usize {
        4 * self.trained
    }

    /// A layer of q of SmolLM2-135M.
    pub fn smollm2(method: Method) -> Result<Self> {
        Self::of(method, [576, 576])
    }

    /// Of a weight [out, in].
    pub fn of(method: Method, shape: [usize; 2]) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut draw =
            |shape| Array2::from_shape_simple_fn(shape, || StandardNormal.sample(&mut rng));
        let step = Step { shape, weight: draw((shape[0], shape[1])), x: draw((TOKENS, shape[1])) };
        let init = Init::default();
        let scaling = Scaling::AlphaOverR;
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let lora = Lora::init(shape, RANK, 16.0, scaling, init, &mut rng)?;
        match method {
            Method::Full => step.run(Full, 0),
            Method::Lora => step.run(lora, 0),
            Method::LoraFa => step.run(LoraFa::new(lora.a, lora.b, lora.scale, Variant::Plain)?, 0),
            Method::Vera => {
                let pair = std::sync::Arc::new(Projections::peft(0, VERA_RANK, shape)?);
                let shared = Ledger::of(&*pair);
                step.run(Vera::init(shape, 0.1, pair)?, shared)
            }
            Method::DeltaLora => {
                // A_K and B_K, to go back to W₀ with, are no part of training: counted apart in the chapter.
                let start_step = 0;
                let settings = Settings { start_step, ..Settings::default() };
                step.run(DeltaLora::new(lora, settings)?, 0)
            }
            Method::LoraPlus => step.run(LoraPlus { lora, groups: Groups::new(16.0)? }, 0),
            Method::Dora => {
                let dora = Dora::init(step.weight.view(), lora)?;
                step.run(dora, 0)
            }
        }
    }
}

struct Step {
    shape: [usize; 2],
    weight: Array2<f32>,
    x: Array2<f32>,
}

impl Step {
    fn run<A: Adapter<f32>>(self, mut adapter: A, shared: usize) -> Result<Facts> {
        let Self { shape, mut weight, x } = self;
        let (y, saved) = adapter.forward(weight.view(), &x.into_shared(), None)?;
        let kept = Ledger::of(&saved);
        let (_, grads) = adapter.backward(weight.view(), &saved, y.view())?;
        let mut adamw = AdamW::new(Group { lr: 1e-3, weight_decay: 0.0 }, AdamVariant::Torch);
        adapter.step(&mut weight, &grads, &mut adamw)?;
        let trained = tensors::count(&grads);
        let numbers: usize = adamw.state().iter().map(|(_, tensor)| tensor.len()).sum();
        let held = Ledger::of(&adapter) + 4 * weight.len();
        Ok(Facts {
            shape,
            rank: if shared > 0 { VERA_RANK } else { RANK },
            trained,
            frozen: held - shared - 4 * trained,
            shared,
            optimizer: 4 * numbers,
            kept,
        })
    }
}
