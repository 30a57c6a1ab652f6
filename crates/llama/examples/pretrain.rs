//! Makes the embedded model from nothing: `cargo xtask pretrain`.
//!
//! Random weights, then full training (every number moves) on the task of [`llama::tiny`] with AdamW. Deterministic
//! by seed on one kind of processor; OpenBLAS rounds differently on another.

use adapter::{AdamVariant, AdamW, Decay, Group, Schedule};
use indicatif::{ProgressBar, ProgressStyle};
use llama::tiny::{self, Task};
use llama::{Adapters, Batch, Llama, Score, Settings, Train, Trainer, embedded};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

const SEED: u64 = 20_241_124;
const STEPS: usize = 3000;
const BATCH: usize = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let config = tiny::config();
    let model = Llama::<f32>::build(config.clone(), |name, shape| {
        let count = shape.iter().product();
        // Norms start as the identity; matrices keep the variance of what passes through.
        if shape.len() == 1 {
            return Ok(vec![1.0; count]);
        }
        let deviation = if name.contains("embed") { 0.1 } else { 1.0 / (shape[1] as f64).sqrt() };
        let law = Normal::new(0.0, deviation).expect("finite");
        Ok((0..count).map(|_| law.sample(&mut rng) as f32).collect())
    })?;
    let adapters = Adapters::full(&config);
    let group = Group { lr: 2e-3, weight_decay: 0.01 };
    let optimizer = Box::new(AdamW::new(group, AdamVariant::Torch));
    let settings = Settings {
        train: Train::Everything,
        schedule: Schedule::new(Decay::Cosine, 100, STEPS)?,
        clip: Some(1.0),
        dropout: 0.0,
        seed: SEED,
    };
    let mut trainer = Trainer::new(model, adapters, optimizer, settings)?;
    let held_out = Task::Ascending.examples(1000, &mut rng);
    println!("{} parameters", trainer.model.parameters());
    let bar = ProgressBar::new(STEPS as u64)
        .with_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {eta} loss {msg}")?);
    let start = std::time::Instant::now();
    for step in 0..STEPS {
        let mut batch = Batch::new();
        for example in Task::Ascending.examples(BATCH, &mut rng) {
            batch.push_example(&example)?;
        }
        let report = trainer.step(&[batch])?;
        bar.inc(1);
        bar.set_message(format!("{:.4}", report.loss));
        if (step + 1) % 500 == 0 {
            let Score { loss, exact } = trainer.model.evaluate(&trainer.adapters, &held_out)?;
            bar.suspend(|| {
                let seconds = start.elapsed().as_secs();
                println!(
                    "step {}: held-out loss {loss:.4}, exact {exact:.3}, {seconds} s",
                    step + 1
                );
            });
        }
    }
    bar.finish_and_clear();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/tiny.safetensors");
    std::fs::write(path, embedded::write(&trainer.model)?)?;
    println!("wrote {path}");
    Ok(())
}
