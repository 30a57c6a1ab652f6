//! What is left of ΔW when it is merged into a weight of few bits, and what LoRA and LoRA-FA keep for the backward pass.

use adapter::{Adapter, Ledger};
use anyhow::{Result, bail};
use llama::{Projection, StorageDtype, merge_report};
use lora::Lora;
use lora_fa::{LoraFa, Variant};
use ndarray::Array2;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::Experiment;

const RANK: usize = 8;
/// The sizes of ΔW that are tried: powers of 2, relative to W.
const SIZES: std::ops::RangeInclusive<i32> = -16..=0;
/// The most numbers of x that are made.
const MOST: usize = 1 << 22;

/// There is nothing to set.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {}

/// What to look at.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// A merge into weights of this type, by its name.
    Merge {
        /// `bf16`, `f16` or `f32`.
        dtype: String,
    },
    /// What one layer keeps for its backward pass.
    Kept {
        /// Rows of x.
        tokens: usize,
        /// Columns of x.
        inputs: usize,
        /// r.
        rank: usize,
    },
}

/// What there is to see.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To [`Question::Merge`].
    Merge {
        /// ‖ΔW‖/‖W‖, in the Frobenius norm.
        sizes: Vec<f64>,
        /// ‖round(W + ΔW) − (W + ΔW)‖/‖ΔW‖ for each of them.
        lost: Vec<f64>,
        /// The share of the numbers of W that did not move.
        unchanged: Vec<f64>,
    },
    /// To [`Question::Kept`], in f32.
    Kept {
        /// Bytes of LoRA.
        lora: usize,
        /// Bytes of LoRA-FA.
        lora_fa: usize,
    },
}

/// A weight of the embedded model, and a ΔW of rank 8 that is as large.
pub struct Bf16 {
    weight: Array2<f64>,
    delta: Array2<f64>,
}

impl Experiment for Bf16 {
    type Settings = Settings;
    type Question = Question;
    type Answer = Answer;

    /// `file` is `crates/llama/assets/tiny.safetensors`.
    fn start(_: Settings, file: &[u8]) -> Result<Self> {
        let model = llama::embedded::read::<f64>(file)?;
        let weight = model.layers[1].weight(Projection::Q).clone();
        let (out, inputs) = weight.dim();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut gaussian =
            |shape| Array2::from_shape_simple_fn(shape, || StandardNormal.sample(&mut rng));
        let lora = Lora::new(gaussian((RANK, inputs)), gaussian((out, RANK)), 1.0)?;
        let mut delta = lora.delta_weight(weight.view())?;
        delta *= rank::frobenius(&weight) / rank::frobenius(&delta);
        Ok(Self { weight, delta })
    }

    fn ask(&mut self, question: Question) -> Result<Answer> {
        match question {
            Question::Merge { dtype } => self.merge(dtype.parse()?),
            Question::Kept { tokens, inputs, rank } => kept(tokens, inputs, rank),
        }
    }
}

impl Bf16 {
    fn merge(&self, dtype: StorageDtype) -> Result<Answer> {
        // A weight that is stored in a type is what that type can hold.
        let weight = self.weight.mapv(|value| dtype.round(value));
        let (mut sizes, mut lost, mut unchanged) = (Vec::new(), Vec::new(), Vec::new());
        for size in SIZES.map(|power| 2f64.powi(power)) {
            let delta = &self.delta * size;
            let report = merge_report("W", weight.view(), delta.view(), dtype)?;
            sizes.push(size);
            lost.push(report.lost);
            unchanged.push(report.unchanged);
        }
        Ok(Answer::Merge { sizes, lost, unchanged })
    }
}

/// Nothing that is kept depends on W or on how many outputs there are: one is enough.
fn kept(tokens: usize, inputs: usize, rank: usize) -> Result<Answer> {
    if tokens == 0 || inputs == 0 || rank > inputs || tokens.saturating_mul(inputs) > MOST {
        bail!(
            "x of {tokens} × {inputs} and rank {rank}: 1 to {MOST} numbers, and a rank up to {inputs}, can be tried here"
        );
    }
    let weight = Array2::<f32>::zeros((1, inputs));
    let x = Array2::<f32>::zeros((tokens, inputs)).into_shared();
    let [a, b] = [Array2::zeros((rank, inputs)), Array2::zeros((1, rank))];
    let lora = Lora::new(a.clone(), b.clone(), 1.0)?.forward(weight.view(), &x, None)?.1;
    let lora_fa = LoraFa::new(a, b, 1.0, Variant::Plain)?.forward(weight.view(), &x, None)?.1;
    Ok(Answer::Kept { lora: Ledger::of(&lora), lora_fa: Ledger::of(&lora_fa) })
}
