//! A layer with LoRA, small enough to see every number: the gradient of A by hand, and by differences.

use adapter::Adapter;
use anyhow::Result;
use lora::Lora;
use ndarray::{ArcArray2, Array2, array};
use serde::{Deserialize, Serialize};

use crate::Experiment;

/// There is nothing to set.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {}

/// An input, and how far a number is moved for the difference.
#[derive(Clone, Debug, Deserialize)]
pub struct Question {
    /// One token, \[in\].
    pub x: [f64; 3],
    /// h.
    pub move_by: f64,
}

/// Forward, loss, backward.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// h = x Aᵀ, \[r\].
    pub h: Vec<f64>,
    /// y, \[out\].
    pub y: Vec<f64>,
    /// ½ Σ (y − target)².
    pub loss: f64,
    /// ∂L/∂y = y − target, \[out\].
    pub grad_y: Vec<f64>,
    /// ∂L/∂A \[r, in\], as `lora::cpu` has it.
    pub grad_a: Vec<Vec<f64>>,
    /// (L(a + h) − L(a − h)) / 2h for each number of A.
    pub quotients: Vec<Vec<f64>>,
}

/// The layer: three inputs, two outputs, r = 2.
pub struct Gradient {
    weight: Array2<f64>,
    lora: Lora<f64>,
    target: Array2<f64>,
}

impl Experiment for Gradient {
    type Settings = Settings;
    type Question = Question;
    type Answer = Answer;

    fn start(_: Settings, _: &[u8]) -> Result<Self> {
        let a = array![[1.0, -1.0, 0.5], [0.0, 2.0, 1.0]];
        let b = array![[1.0, 0.5], [-1.0, 1.0]];
        Ok(Self {
            weight: array![[2.0, 0.0, 1.0], [-1.0, 1.0, 0.0]],
            lora: Lora::new(a, b, 0.5)?,
            target: array![[1.0, 0.0]],
        })
    }

    fn ask(&mut self, Question { x, move_by }: Question) -> Result<Answer> {
        if !(move_by > 0.0 && move_by.is_finite()) {
            anyhow::bail!("h is {move_by}: it must be above 0");
        }
        let x = array![x].into_shared(); // [1, in]
        let (y, saved) = self.lora.forward(self.weight.view(), &x, None)?;
        let grad_y = &y - &self.target;
        let (_, grads) = self.lora.backward(self.weight.view(), &saved, grad_y.view())?;
        let mut quotients = Array2::zeros(self.lora.a.dim());
        for (place, quotient) in quotients.indexed_iter_mut() {
            let moved = |by: f64| {
                let mut lora = self.lora.clone();
                lora.a[place] += by;
                self.loss(&lora, &x)
            };
            *quotient = (moved(move_by)? - moved(-move_by)?) / (2.0 * move_by);
        }
        let rows =
            |matrix: &Array2<f64>| matrix.rows().into_iter().map(|row| row.to_vec()).collect();
        Ok(Answer {
            h: saved.h.row(0).to_vec(),
            y: y.row(0).to_vec(),
            loss: self.loss(&self.lora, &x)?,
            grad_y: grad_y.row(0).to_vec(),
            grad_a: rows(&grads.a),
            quotients: rows(&quotients),
        })
    }
}

impl Gradient {
    fn loss(&self, lora: &Lora<f64>, x: &ArcArray2<f64>) -> Result<f64> {
        let (y, _) = lora.forward(self.weight.view(), x, None)?;
        Ok(0.5 * (y - &self.target).mapv(|difference| difference * difference).sum())
    }
}
