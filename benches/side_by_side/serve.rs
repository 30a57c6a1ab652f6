//! Our side of the protocol.

use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use adapter::{AdamVariant, AdamW, Decay, Group, Real, Schedule};
use anyhow::{Context, Result, bail};
use llama::{Adapters, Batch, Checkpoint, Projection, Settings, Train, Trainer};
use lora::{Init, Lora, Scaling};
use lowrank_benches::Layer;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::floor::Floor;

/// Tokens of a step of SmolLM2.
const TOKENS: usize = 192;

/// What is measured.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Side {
    /// One LoRA layer, forward and backward.
    Layer,
    /// The products of that layer with its frozen weight.
    LayerFloor,
    /// One training step of SmolLM2.
    Step,
    /// The products of that step with its frozen weights.
    StepFloor,
}

/// The layer's shape.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Shape {
    #[arg(long, default_value_t = 256, hide = true)]
    pub tokens: usize,
    #[arg(long, default_value_t = 576, hide = true)]
    pub out: usize,
    #[arg(long = "in", default_value_t = 576, hide = true)]
    pub inputs: usize,
    #[arg(long, default_value_t = 8, hide = true)]
    pub rank: usize,
    #[arg(long, default_value = "f32", hide = true)]
    pub dtype: Dtype,
}

#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub enum Dtype {
    F32,
    F64,
}

pub fn serve(side: Side, shape: Shape, model: Option<&Path>) -> Result<()> {
    match (side, shape.dtype) {
        (Side::Layer, Dtype::F32) => answer(layer::<f32>(shape), 10),
        (Side::Layer, Dtype::F64) => answer(layer::<f64>(shape), 10),
        (Side::LayerFloor, Dtype::F32) => answer(layer_floor::<f32>(shape), 10),
        (Side::LayerFloor, Dtype::F64) => answer(layer_floor::<f64>(shape), 10),
        (Side::Step, _) => answer(step(shape, load(model)?)?, 2),
        (Side::StepFloor, _) => answer(step_floor(load(model)?), 2),
    }
}

fn load(model: Option<&Path>) -> Result<Checkpoint<f32>> {
    Ok(llama::load::load(model.context("--model is needed")?)?)
}

/// Warm up, say so, then run once for each `run`.
fn answer(mut run: impl FnMut() -> Result<()>, warm_up: usize) -> Result<()> {
    for _ in 0..warm_up {
        run()?;
    }
    println!("{}", json!({"ready": true}));
    for line in std::io::stdin().lock().lines() {
        match line?.trim() {
            "run" => {
                let start = Instant::now();
                run()?;
                println!("{}", json!({"seconds": start.elapsed().as_secs_f64()}));
            }
            "quit" => break,
            other => bail!("unknown command {other:?}: this program knows `run` and `quit`"),
        }
    }
    println!("{}", json!({"peak_rss_bytes": peak_rss_bytes()}));
    Ok(())
}

fn layer<T: Real>(Shape { tokens, out, inputs, rank, .. }: Shape) -> impl FnMut() -> Result<()> {
    let layer = Layer::<T>::new(tokens, out, inputs, rank);
    move || {
        std::hint::black_box(layer.run());
        Ok(())
    }
}

fn layer_floor<T: Real>(shape: Shape) -> impl FnMut() -> Result<()> {
    let Shape { tokens, out, inputs, rank, .. } = shape;
    let weight = Layer::<T>::new(tokens, out, inputs, rank).weight;
    let mut floor = Floor::new(tokens);
    move || {
        floor.forward(&weight);
        floor.backward(&weight);
        Ok(())
    }
}

/// LoRA on q and v, AdamW, the first tokens of the text that the parity test trains on.
fn step(shape: Shape, checkpoint: Checkpoint<f32>) -> Result<impl FnMut() -> Result<()>> {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/parity/text.txt"))?;
    let tokenizer = checkpoint.tokenizer.context("the model has no tokenizer")?;
    let tokens = tokenizer.encode(&text)?;
    let tokens = tokens.get(..TOKENS).context("the text is too short")?.to_vec();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let adapters =
        Adapters::on(&checkpoint.model.config, &[Projection::Q, Projection::V], |_, of| {
            Lora::init(of, shape.rank, 16.0, Scaling::AlphaOverR, Init::default(), &mut rng)
        })?;
    let group = Group { lr: 1e-3, weight_decay: 0.0 };
    let settings = Settings {
        train: Train::Adapters,
        schedule: Schedule::new(Decay::Constant, 0, usize::MAX)?,
        clip: None,
        dropout: 0.0,
        seed: 0,
    };
    let optimizer = Box::new(AdamW::new(group, AdamVariant::Torch));
    let mut trainer = Trainer::new(checkpoint.model, adapters, optimizer, settings)?;
    Ok(move || {
        trainer.step(&[Batch::next_token([&tokens[..]])?])?;
        Ok(())
    })
}

/// Every projection of every layer and the output matrix, in the order of the step.
fn step_floor(checkpoint: Checkpoint<f32>) -> impl FnMut() -> Result<()> {
    let model = checkpoint.model;
    let mut floor = Floor::new(TOKENS);
    move || {
        let layers = || model.layers.iter().flat_map(|layer| layer.projections.values());
        layers().for_each(|weight| floor.forward(weight));
        floor.forward(model.head());
        floor.backward(model.head());
        layers().rev().for_each(|weight| floor.backward(weight));
        Ok(())
    }
}

fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
