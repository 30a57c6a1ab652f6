//! VeRA: two layers that share A and B, and differ by the vectors d and b alone.

use std::sync::Arc;

use adapter::Adapter;
use anyhow::Result;
use ndarray::{Array1, Array2};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rank::Tolerance;
use serde::{Deserialize, Serialize};
use vera::{Projections, Vera};

use crate::Experiment;

const OUT: usize = 6;
const INPUTS: usize = 8;
const RANK: usize = 4;

/// There is nothing to set.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {}

/// The trained vectors of both layers.
#[derive(Clone, Debug, Deserialize)]
pub struct Question {
    /// d, \[r\] for each layer.
    pub d: [[f64; RANK]; 2],
    /// b, \[out\] for each layer.
    pub b: [[f64; OUT]; 2],
}

/// What they make of the shared matrices.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// A \[r, in\], the same in both layers.
    pub shared_a: Vec<Vec<f64>>,
    /// B \[out, r\], the same in both layers.
    pub shared_b: Vec<Vec<f64>>,
    /// ΔW = Λ_b B Λ_d A \[out, in\] of each layer.
    pub delta: [Vec<Vec<f64>>; 2],
    /// Their ranks.
    pub rank: [usize; 2],
}

/// A and B.
pub struct Shared(Arc<Projections<f64>>);

impl Experiment for Shared {
    type Settings = Settings;
    type Question = Question;
    type Answer = Answer;

    fn start(_: Settings, _: &[u8]) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut gaussian =
            |shape| Array2::from_shape_simple_fn(shape, || StandardNormal.sample(&mut rng));
        let (a, b) = (gaussian((RANK, INPUTS)), gaussian((OUT, RANK)));
        Ok(Self(Arc::new(Projections::new(a, b)?)))
    }

    fn ask(&mut self, Question { d, b }: Question) -> Result<Answer> {
        let weight = Array2::zeros((OUT, INPUTS));
        let layer = |i: usize| -> Result<(Vec<Vec<f64>>, usize)> {
            let (b, d) = (Array1::from(b[i].to_vec()), Array1::from(d[i].to_vec()));
            let delta = Vera::new(b, d, INPUTS, self.0.clone())?.delta_weight(weight.view())?;
            let rank = rank::svd(delta.view())?.rank(Tolerance::Numpy);
            Ok((rows(&delta), rank))
        };
        let [(first, rank_1), (second, rank_2)] = [layer(0)?, layer(1)?];
        let [shared_a, shared_b] = [self.0.a().to_owned(), self.0.b().to_owned()].map(|m| rows(&m));
        Ok(Answer { shared_a, shared_b, delta: [first, second], rank: [rank_1, rank_2] })
    }
}

fn rows(matrix: &Array2<f64>) -> Vec<Vec<f64>> {
    matrix.rows().into_iter().map(|row| row.to_vec()).collect()
}
