//! How A, B and the scale start.

use adapter::{Error, Real, Result};
use ndarray::Array2;
use rand::Rng;
use rand_distr::{Distribution, Normal, StandardNormal, Uniform};

use crate::Lora;

/// The factor s in ΔW = s B A.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scaling {
    /// α/r, the paper's (section 4.1).
    #[default]
    AlphaOverR,
    /// α/√r, rank-stabilised (Kalajdzievski 2023, arXiv 2312.03732; PEFT's `use_rslora`).
    RsLora,
}

impl Scaling {
    /// s for this α and r.
    ///
    /// # Errors
    /// The rank is 0, or α is not finite.
    pub fn scale(self, alpha: f64, rank: usize) -> Result<f64> {
        if rank == 0 {
            return Err(Error::value("rank", rank, "at least 1"));
        }
        if !alpha.is_finite() {
            return Err(Error::value("alpha", alpha, "it must be finite"));
        }
        Ok(match self {
            Self::AlphaOverR => alpha / rank as f64,
            Self::RsLora => alpha / (rank as f64).sqrt(),
        })
    }
}

/// What A and B hold before the first step. One of the two is zero, so that the model starts unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Init {
    /// A from U(−1/√in, 1/√in), B = 0. loralib's and PEFT's default, which call
    /// `kaiming_uniform_(a=√5)`; its variance is 1/(3·in).
    #[default]
    KaimingUniformA5,
    /// A from N(0, 1/r²), B = 0. PEFT's `"gaussian"`. (The paper says "random Gaussian" and gives no σ.)
    Gaussian,
    /// A = 0, B from U(−1/√r, 1/√r): the same law on B, whose fan-in is r. What LoRA+ (Hayou et al. 2024) calls Init\[2\].
    KaimingUniformB,
    /// A = 0, B from N(0, 1): how loralib and PEFT start the adapter of an embedding.
    Embedding,
}

impl<T: Real> Lora<T> {
    /// A fresh adapter for a weight of shape `[outputs, inputs]`.
    ///
    /// Numbers are drawn in `f64`, A first, then B, row by row, and rounded: a seed gives the same adapter in every
    /// precision.
    ///
    /// # Errors
    /// The rank is 0, or α is not finite.
    pub fn init(
        [outputs, inputs]: [usize; 2],
        rank: usize,
        alpha: f64,
        scaling: Scaling,
        init: Init,
        rng: &mut impl Rng,
    ) -> Result<Self> {
        let scale = T::from_f64(scaling.scale(alpha, rank)?);
        let (mut a, mut b) = (Array2::zeros((rank, inputs)), Array2::zeros((outputs, rank)));
        match init {
            Init::KaimingUniformA5 => fill(&mut a, symmetric(inputs), rng),
            Init::KaimingUniformB => fill(&mut b, symmetric(rank), rng),
            Init::Gaussian => {
                fill(&mut a, Normal::new(0.0, 1.0 / rank as f64).expect("finite σ"), rng);
            }
            Init::Embedding => fill(&mut b, StandardNormal, rng),
        }
        Self::new(a, b, scale)
    }
}

/// U(−1/√fan_in, 1/√fan_in).
fn symmetric(fan_in: usize) -> Uniform<f64> {
    let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
    Uniform::new_inclusive(-bound, bound).expect("finite bounds")
}

fn fill<T: Real>(matrix: &mut Array2<T>, law: impl Distribution<f64>, rng: &mut impl Rng) {
    matrix.mapv_inplace(|_| T::from_f64(law.sample(rng)));
}
