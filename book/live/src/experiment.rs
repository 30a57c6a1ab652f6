//! What all experiments have in common.

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Bf16, Ellipse, Fits, Gradient, Judge, Landscape, Picture, Shared, Telescope, Train};

/// An experiment: started with settings, then asked.
pub trait Experiment: Sized {
    /// What the reader chose.
    type Settings: DeserializeOwned;
    /// What it can be asked.
    type Question: DeserializeOwned;
    /// What it answers: numbers and names.
    type Answer: Serialize;

    /// Before the first question. `file` is what the experiment reads: a model, a picture, a file of answers.
    ///
    /// # Errors
    /// A setting makes no sense, or the file is not what it should be.
    fn start(settings: Self::Settings, file: &[u8]) -> Result<Self>;

    /// The answer to a question; it may move the experiment on.
    ///
    /// # Errors
    /// The question makes no sense, or training diverged.
    fn ask(&mut self, question: Self::Question) -> Result<Self::Answer>;
}

/// An experiment of any kind, spoken to in JSON.
pub trait Dialogue {
    /// The answer to a question.
    ///
    /// # Errors
    /// It is no question of this experiment, or those of [`Experiment::ask`].
    fn ask_json(&mut self, question: &str) -> Result<String>;
}

impl<E: Experiment> Dialogue for E {
    fn ask_json(&mut self, question: &str) -> Result<String> {
        let question = serde_json::from_str(question).context("the question")?;
        Ok(serde_json::to_string(&self.ask(question)?)?)
    }
}

/// The experiment of this name.
///
/// # Errors
/// There is none, or those of [`Experiment::start`].
pub fn start(name: &str, settings: &str, file: &[u8]) -> Result<Box<dyn Dialogue>> {
    fn begin<E: Experiment + 'static>(settings: &str, file: &[u8]) -> Result<Box<dyn Dialogue>> {
        let settings = serde_json::from_str(settings).context("the settings")?;
        Ok(Box::new(E::start(settings, file)?))
    }
    match name {
        "bf16" => begin::<Bf16>(settings, file),
        "ellipse" => begin::<Ellipse>(settings, file),
        "fits" => begin::<Fits>(settings, file),
        "gradient" => begin::<Gradient>(settings, file),
        "judge" => begin::<Judge>(settings, file),
        "landscape" => begin::<Landscape>(settings, file),
        "picture" => begin::<Picture>(settings, file),
        "shared" => begin::<Shared>(settings, file),
        "telescope" => begin::<Telescope>(settings, file),
        "train" => begin::<Train>(settings, file),
        _ => bail!("there is no experiment {name:?}"),
    }
}
