//! What a 2 × 2 matrix makes of the unit circle.

use std::f64::consts::TAU;

use anyhow::Result;
use ndarray::Array2;
use rank::Tolerance;
use serde::{Deserialize, Serialize};

use crate::Experiment;

const POINTS: usize = 96;

/// There is nothing to set.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {}

/// A matrix by its columns, where it sends (1, 0) and (0, 1).
#[derive(Clone, Debug, Deserialize)]
pub struct Question {
    /// The two columns.
    pub columns: [[f64; 2]; 2],
}

/// Its decomposition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// σ₁ and σ₂.
    pub singular_values: Vec<f64>,
    /// σ₁ u₁ and σ₂ u₂, the ellipse's half axes.
    pub axes: Vec<Vec<f64>>,
    /// v₁ and v₂, which the matrix sends there.
    pub from: Vec<Vec<f64>>,
    /// The image of the unit circle.
    pub ellipse: Vec<Vec<f64>>,
    /// How many singular values are not zero, by numpy's tolerance.
    pub rank: usize,
}

/// Nothing to remember.
pub struct Ellipse;

impl Experiment for Ellipse {
    type Settings = Settings;
    type Question = Question;
    type Answer = Answer;

    fn start(_: Settings, _: &[u8]) -> Result<Self> {
        Ok(Self)
    }

    fn ask(&mut self, Question { columns: [p, q] }: Question) -> Result<Answer> {
        let matrix = ndarray::array![[p[0], q[0]], [p[1], q[1]]];
        let svd = rank::jacobi::svd(matrix.view())?;
        let around = |i: usize| {
            let (sin, cos) = (TAU * i as f64 / POINTS as f64).sin_cos();
            matrix.dot(&ndarray::array![cos, sin]).to_vec()
        };
        let rows =
            |matrix: &Array2<f64>| matrix.rows().into_iter().map(|row| row.to_vec()).collect();
        let axes = &svd.u * &svd.s; // U Σ
        Ok(Answer {
            axes: rows(&axes.t().to_owned()),
            from: rows(&svd.vt),
            ellipse: (0..POINTS).map(around).collect(),
            rank: svd.rank(Tolerance::Numpy),
            singular_values: svd.s.to_vec(),
        })
    }
}
