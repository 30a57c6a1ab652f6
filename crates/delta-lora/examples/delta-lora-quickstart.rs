//! Teach a layer a change of rank 2 while its weight moves too: `cargo run -p lowrank-delta-lora --example delta-lora-quickstart`.
//!
//! Delta-LoRA (arXiv 2309.02411) on the task of `lora`'s quickstart: the layer is asked to behave like W + C, where C has
//! rank 2. Not here: a real model (`lowrank finetune --method delta-lora`), a schedule.

use adapter::{AdamVariant, AdamW, Adapter, Group};
use delta_lora::{DeltaLora, Settings};
use lora::{Init, Lora, Scaling};
use ndarray::Array2;
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rank::frobenius;

// ANCHOR: quickstart
fn main() -> Result<(), adapter::Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let (out, inputs, rank, tokens) = (12, 16, 2, 64);
    let mut gaussian = |m, n| Array2::<f64>::random_using((m, n), StandardNormal, &mut rng);
    let initial = gaussian(out, inputs);
    let change = gaussian(out, rank).dot(&gaussian(rank, inputs));
    let x = gaussian(tokens, inputs).into_shared();
    let wanted = x.dot(&(&initial + &change).t());

    let lora =
        Lora::init([out, inputs], rank, 4.0, Scaling::AlphaOverR, Init::default(), &mut rng)?;
    let settings = Settings { lambda: 2.0, start_step: 50, include_scale: true };
    let mut delta = DeltaLora::new(lora, settings)?;
    let mut weight = initial.clone();
    let mut adamw = AdamW::new(Group { lr: 0.05, weight_decay: 0.0 }, AdamVariant::Torch);
    for step in 0..=200 {
        let (y, saved) = delta.forward(weight.view(), &x, None)?;
        let error = &y - &wanted; // the gradient of half the squared error
        if step % 40 == 0 {
            println!(
                "step {step:3}: mean squared error {:.1e}, W has moved by {:.2}",
                (&error * &error).mean().unwrap(),
                frobenius(&(&weight - &initial))
            );
        }
        let (_, grads) = delta.backward(weight.view(), &saved, error.view())?;
        delta.step(&mut weight, &grads, &mut adamw)?;
    }

    let (a, b) = delta.total()?;
    println!(
        "|B'A' - C| / |C| = {:.1e}, with B'A' all that changed",
        frobenius(&(b.dot(&a) - &change)) / frobenius(&change)
    );
    delta.restore(&mut weight)?;
    println!(
        "restored: |W - W_0| / |W_0| < 1e-14 is {}",
        frobenius(&(&weight - &initial)) < 1e-14 * frobenius(&initial)
    );
    Ok(())
}
// ANCHOR_END: quickstart
