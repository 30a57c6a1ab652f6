//! What a run needs of a method beside the [`Adapter`] trait.

use std::collections::BTreeMap;
use std::path::Path;

use adapter::{Adapter, Real};
use llama::state::Arrays;
use llama::{Adapters, Config, Llama, Train};
use rand_chacha::ChaCha8Rng;
use tensor_file::Staging;

use crate::{Method, Needs, Options, Result};

/// Where the weights of a run come from: what it writes names it, or brings its files along.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Base {
    /// Its path or hub id.
    pub name: Option<String>,
    /// What belongs beside its weights in a Hugging Face folder, by name: the tokenizer's files, and
    /// `generation_config.json`.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// A method that a run can start, write and go on with.
pub trait Tunable<T: Real>: Adapter<T> + Sized + 'static {
    /// Which one.
    const METHOD: Method;
    /// What is trained.
    const TRAIN: Train = Train::Adapters;
    /// What it can be told.
    type Options: Options;

    /// The rows that a comparison has for it.
    fn rows() -> Vec<Row> {
        vec![Row::of(Self::METHOD)]
    }

    /// Adapters before the first step.
    ///
    /// # Errors
    /// An option has a value that the method cannot take.
    fn start(
        model: &Llama<T>,
        options: &Self::Options,
        rng: &mut ChaCha8Rng,
    ) -> Result<Adapters<Self>>;

    /// What [`start`](Self::start)'s adapters need, counted from the model's shapes.
    fn needs(config: &Config, options: &Self::Options) -> Needs;

    /// Adapters to start from, out of a folder of PEFT's format. The options that the folder keeps replace those in
    /// `options`.
    ///
    /// # Errors
    /// The folder is damaged, or does not fit the model, or another method made it.
    fn load(model: &Llama<T>, options: &mut Self::Options, folder: &Path)
    -> Result<Adapters<Self>>;

    /// Write what was trained among the files of a folder.
    ///
    /// # Errors
    /// The disk is full or read-only.
    fn stage(
        model: &Llama<T>,
        adapters: &Adapters<Self>,
        options: &Self::Options,
        base: &Base,
        files: &mut Staging,
    ) -> Result<()>;

    /// What going on needs beside the folder and the optimiser's moments.
    fn state(_model: &Llama<T>, _adapters: &Adapters<Self>) -> Arrays<T> {
        Arrays::new()
    }

    /// The adapters of the interrupted run that wrote `folder`, and in `model` what it had changed there. `state` is
    /// what [`state`](Self::state) gave then, `step` the updates made.
    ///
    /// # Errors
    /// As [`load`](Self::load), or `state` lacks a tensor.
    fn resume(
        model: &mut Llama<T>,
        options: &mut Self::Options,
        folder: &Path,
        _step: usize,
        _state: Arrays<T>,
    ) -> Result<Adapters<Self>> {
        Self::load(model, options, folder)
    }
}

/// Something that can be done with any method.
pub trait Visitor<T: Real> {
    /// What comes of it.
    type Output;
    /// Do it with the method `M`.
    fn visit<M: Tunable<T>>(self) -> Self::Output;
}

/// A method as one row of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which method.
    pub method: Method,
    /// As files and the command line have it.
    pub name: &'static str,
    /// As tables and figures have it.
    pub label: &'static str,
    /// What the method is told in this row.
    pub options: &'static [(&'static str, &'static str)],
    /// What it is not told, though all others are: it keeps its own default.
    pub own: &'static [&'static str],
}

impl Row {
    /// The one row of a method that has no variants.
    pub fn of(method: Method) -> Self {
        Self { method, name: method.name(), label: method.label(), options: &[], own: &[] }
    }

    /// All rows, in the order they are shown.
    pub fn all() -> Vec<Self> {
        struct Rows;
        impl Visitor<f64> for Rows {
            type Output = Vec<Row>;
            fn visit<M: Tunable<f64>>(self) -> Vec<Row> {
                M::rows()
            }
        }
        Method::ALL.iter().flat_map(|method| method.visit(Rows)).collect()
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name)
    }
}
