//! LoRA+'s landscape: the loss of a small task after a few updates, at any pair of learning rates.

use anyhow::{Result, bail};
use lora_plus::task::{Task, geometric_mean};
use serde::{Deserialize, Serialize};

use crate::Experiment;

/// The widths and numbers of tasks that can be tried here.
const WIDTHS: std::ops::RangeInclusive<usize> = 16..=512;
const TASKS: std::ops::RangeInclusive<u64> = 1..=3;

/// The tasks.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// n, of the layer that is trained.
    pub width: usize,
    /// How many tasks, of whose losses the geometric mean is taken.
    pub tasks: u64,
}

/// A pair of learning rates.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// `η_A`.
    pub lr_a: f64,
    /// `η_B`.
    pub lr_b: f64,
}

/// What it comes to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// After all updates; in JSON null where training overflowed.
    pub loss: f64,
}

/// The tasks, before training.
pub struct Landscape(Vec<Task>);

impl Experiment for Landscape {
    type Settings = Settings;
    type Question = Question;
    type Answer = Answer;

    fn start(Settings { width, tasks }: Settings, _: &[u8]) -> Result<Self> {
        if !WIDTHS.contains(&width) || !TASKS.contains(&tasks) {
            bail!("width {width} and {tasks} tasks: {WIDTHS:?} and {TASKS:?} can be tried here");
        }
        let tasks = (1..=tasks).map(|number| Task::new(number, width));
        Ok(Self(tasks.collect::<Result<_, _>>()?))
    }

    fn ask(&mut self, Question { lr_a, lr_b }: Question) -> Result<Answer> {
        let losses = self.0.iter().map(|task| task.train(lr_a, lr_b));
        Ok(Answer { loss: geometric_mean(&losses.collect::<Result<Vec<_>, _>>()?) })
    }
}
