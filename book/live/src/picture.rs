//! A picture at rank k: its best approximation, what that takes, and how far it is off.

use anyhow::{Result, bail};
use ndarray::Array2;
use rank::Svd;
use serde::{Deserialize, Serialize};

use crate::Experiment;
use crate::scene::scene;

/// The most rows and columns: Jacobi's time grows with the cube.
const MOST: usize = 192;

/// The size of the reader's picture; the book's own if there is none.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// The rank to show.
#[derive(Clone, Debug, Deserialize)]
pub struct Question {
    /// k.
    pub rank: usize,
}

/// The approximation of rank k.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// Rows of the picture.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Brightness, 0 to 255, row by row.
    pub pixels: Vec<u8>,
    /// All singular values, the largest first.
    pub singular_values: Vec<f64>,
    /// ‖A − Aₖ‖_F, from the two matrices.
    pub error: f64,
    /// √(σₖ₊₁² + σₖ₊₂² + …): no matrix of rank k has a smaller error.
    pub bound: f64,
    /// ‖A‖_F.
    pub norm: f64,
    /// Numbers that k terms take, k (height + width + 1).
    pub kept: usize,
}

/// A picture, decomposed.
pub struct Picture {
    picture: Array2<f64>,
    svd: Svd,
}

impl Experiment for Picture {
    type Settings = Settings;
    type Question = Question;
    type Answer = Answer;

    /// `file` has red, green, blue and opacity of each point, a byte each, row by row.
    fn start(settings: Settings, file: &[u8]) -> Result<Self> {
        let picture = if file.is_empty() { scene() } else { brightness(&settings, file)? };
        let svd = rank::jacobi::svd(picture.view())?;
        Ok(Self { picture, svd })
    }

    fn ask(&mut self, Question { rank }: Question) -> Result<Answer> {
        let best = self.svd.truncate(rank)?;
        let (height, width) = self.picture.dim();
        let difference = &self.picture - &best.matrix;
        Ok(Answer {
            height,
            width,
            pixels: best
                .matrix
                .iter()
                .map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8)
                .collect(),
            singular_values: self.svd.s.to_vec(),
            error: rank::frobenius(&difference),
            bound: best.frobenius_error,
            norm: self.svd.frobenius_norm(),
            kept: rank * (height + width + 1),
        })
    }
}

/// The mean of red, green and blue, from 0 to 1.
fn brightness(settings: &Settings, file: &[u8]) -> Result<Array2<f64>> {
    let Settings { width, height } = *settings;
    if !(1..=MOST).contains(&width) || !(1..=MOST).contains(&height) {
        bail!("a picture of {width} × {height} points: 1 to {MOST} each way can be shown here");
    }
    if file.len() != 4 * width * height {
        bail!("{} bytes are no picture of {width} × {height} points of four bytes", file.len());
    }
    let mean =
        |point: &[u8]| point[..3].iter().map(|&byte| f64::from(byte)).sum::<f64>() / (3.0 * 255.0);
    Ok(Array2::from_shape_vec((height, width), file.chunks_exact(4).map(mean).collect())?)
}
