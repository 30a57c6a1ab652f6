//! Our side of tests/parity/smollm2_methods.py: SmolLM2, a method on q_proj and v_proj, the same start, the same 192
//! tokens.

use std::path::Path;

use adapter::{AdamVariant, AdamW, Adapter, Decay, Group, Real, Schedule};
use dora::Dora;
use llama::load::load;
use llama::{
    Adapters, Batch, Checkpoint, Config, Llama, Projection, Report, Result, Settings, Train,
    Trainer,
};
use lora::{Lora, Scaling};
use lora_fa::{LoraFa, Variant};
use lora_plus::{Groups, LoraPlus};
use ndarray::Array1;
use serde_json::Value;
use vera::{Pool, Projections, Sharing, Vera};

use crate::{golden_json, grid};

const TARGETS: [Projection; 2] = [Projection::Q, Projection::V];

/// A run of ours before its first step, and PEFT's.
pub struct EightSteps<T, A> {
    /// The file of tests/golden: what PEFT was told, and what came out.
    pub golden: Value,
    /// The model, the adapters, the optimiser.
    pub trainer: Trainer<T, A>,
    /// β₁ and β₂ of its AdamW.
    pub betas: (f64, f64),
    /// ε of its AdamW.
    pub eps: f64,
    /// The one sequence of every batch.
    pub tokens: Vec<u32>,
}

impl<T: Real, A: Adapter<T>> EightSteps<T, A> {
    /// One step on the 192 tokens.
    ///
    /// # Errors
    /// Training diverged.
    pub fn step(&mut self) -> Result<Report> {
        self.trainer.step(&[Batch::next_token([&self.tokens[..]])?])
    }

    fn new(
        path: &Path,
        golden: &str,
        variant: AdamVariant,
        adapters: impl FnOnce(&Value, &Llama<T>) -> Result<Adapters<A>>,
    ) -> Result<Self> {
        let golden = golden_json(golden);
        let settings = &golden["settings"];
        let Checkpoint { model, tokenizer, .. } = load::<T>(path)?;
        let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("parity/text.txt");
        let text = std::fs::read_to_string(text).expect("it is committed");
        let mut tokens = tokenizer.expect("a GGUF has its tokenizer").encode(&text)?;
        tokens.truncate(192);

        let adapters = adapters(settings, &model)?;
        let group =
            Group { lr: number(settings, "lr"), weight_decay: number(settings, "weight_decay") };
        let run = Settings {
            train: Train::Adapters,
            schedule: Schedule::new(Decay::Constant, 0, 8)?,
            clip: None,
            dropout: 0.0,
            seed: 0,
        };
        let optimizer = AdamW::new(group, variant);
        let (betas, eps) = (optimizer.betas, optimizer.eps);
        let trainer = Trainer::new(model, adapters, Box::new(optimizer), run)?;
        Ok(Self { golden, trainer, betas, eps, tokens })
    }
}

/// LoRA with `torch.optim.AdamW`.
///
/// # Errors
/// The model at `path` cannot be read; so for the other four.
pub fn lora<T: Real>(path: &Path) -> Result<EightSteps<T, Lora<T>>> {
    EightSteps::new(path, "smollm2_lora.json", AdamVariant::Torch, |settings, model| {
        factors(settings, &model.config)
    })
}

/// LoRA-FA, projected, with the AdamW of PEFT's LoRA-FA.
///
/// # Errors
/// As [`lora()`].
pub fn lora_fa<T: Real>(path: &Path) -> Result<EightSteps<T, LoraFa<T>>> {
    EightSteps::new(path, "smollm2_lora_fa.json", AdamVariant::Hf, |settings, model| {
        let freeze = |_, Lora { a, b, scale }| LoraFa::new(a, b, scale, Variant::Projected);
        Ok(factors(settings, &model.config)?.try_map(freeze)?)
    })
}

/// LoRA+ with `torch.optim.AdamW` and PEFT's groups.
///
/// # Errors
/// As [`lora()`].
pub fn lora_plus<T: Real>(path: &Path) -> Result<EightSteps<T, LoraPlus<T>>> {
    EightSteps::new(path, "smollm2_lora_plus.json", AdamVariant::Torch, |settings, model| {
        let groups = Groups::new(number(settings, "lr_ratio"))?;
        factors(settings, &model.config)?.try_map(|_, lora| Ok(LoraPlus { lora, groups }))
    })
}

/// DoRA with `torch.optim.AdamW`.
///
/// # Errors
/// As [`lora()`].
pub fn dora<T: Real>(path: &Path) -> Result<EightSteps<T, Dora<T>>> {
    EightSteps::new(path, "smollm2_dora.json", AdamVariant::Torch, |settings, model| {
        factors(settings, &model.config)?.try_map(|(layer, projection), lora| {
            let weight = model.layers[layer].weight(projection).mapv(T::to_f64);
            let lengths = weight.rows().into_iter().map(|row| rounded(row.dot(&row).sqrt()));
            Ok(Dora::new(lora, lengths.collect())?)
        })
    })
}

/// VeRA with `torch.optim.AdamW`. Nothing of A and B comes from PEFT but the key.
///
/// # Errors
/// As [`lora()`].
pub fn vera<T: Real>(path: &Path) -> Result<EightSteps<T, Vera<T>>> {
    EightSteps::new(path, "smollm2_vera.json", AdamVariant::Torch, |settings, model| {
        let rank = number(settings, "rank") as usize;
        let key = settings["projection_prng_key"].as_u64().expect("a key");
        let shapes = TARGETS.map(|target| target.shape(&model.config));
        let draw = |largest| Projections::peft(key, rank, largest);
        let pool = Pool::new(shapes, Sharing::MaxSlice, draw)?;
        let d = Array1::from_elem(rank, rounded(number(settings, "d_initial")));
        on_each(&model.config, |module, [out, inputs]| {
            let b = grid(module).take(out).map(|n| rounded(n / 10_000.0)).collect();
            Vera::new(b, d.clone(), inputs, pool.get([out, inputs])?)
        })
    })
}

/// The start of lora_A and lora_B.
fn factors<T: Real>(settings: &Value, config: &Config) -> Result<Adapters<Lora<T>>> {
    let rank = number(settings, "rank") as usize;
    let scale = Scaling::AlphaOverR.scale(number(settings, "alpha"), rank)?;
    on_each(config, |module, [out, inputs]| {
        let root = (inputs as f64).sqrt();
        let a = grid(2 * module).take(rank * inputs).map(|n| rounded(n / 1000.0 / root));
        let b = grid(2 * module + 1).take(out * rank).map(|n| rounded(n / 100_000.0));
        let a = Array1::from_iter(a).into_shape_with_order((rank, inputs)).expect("as many");
        let b = Array1::from_iter(b).into_shape_with_order((out, rank)).expect("as many");
        Lora::new(a, b, T::from_f64(scale))
    })
}

/// To f32 and no further: the start is the same in every precision.
fn rounded<T: Real>(number: f64) -> T {
    T::from_f64(f64::from(number as f32))
}

/// Adapters in the script's order, `make` getting the module's number and its weight's shape.
fn on_each<A>(
    config: &Config,
    mut make: impl FnMut(u32, [usize; 2]) -> adapter::Result<A>,
) -> Result<Adapters<A>> {
    let mut modules = 0..;
    Adapters::on(config, &TARGETS, |_, shape| make(modules.next().expect("no end"), shape))
}

fn number(settings: &Value, name: &str) -> f64 {
    settings[name].as_f64().unwrap_or_else(|| panic!("settings.{name} is no number"))
}
