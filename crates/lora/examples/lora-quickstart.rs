//! Teach a frozen layer a change of rank 2: `cargo run -p lowrank-lora --example lora-quickstart`.
//!
//! LoRA's equation 3 (arXiv 2106.09685) at work: the layer is asked to behave like W + C, where C has rank 2. W stays;
//! A and B find C. Not here: a real model (`lowrank finetune`), dropout, a schedule.

use adapter::{AdamVariant, AdamW, Adapter, Group};
use lora::{Init, Lora, Scaling};
use ndarray::Array2;
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

// ANCHOR: quickstart
fn main() -> Result<(), adapter::Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let (out, inputs, rank, tokens) = (12, 16, 2, 64);
    let mut gaussian = |m, n| Array2::<f64>::random_using((m, n), StandardNormal, &mut rng);
    let mut weight = gaussian(out, inputs);
    let change = gaussian(out, rank).dot(&gaussian(rank, inputs));
    let x = gaussian(tokens, inputs).into_shared();
    let wanted = x.dot(&(&weight + &change).t());

    let mut lora =
        Lora::init([out, inputs], rank, 4.0, Scaling::AlphaOverR, Init::default(), &mut rng)?;
    let mut adamw = AdamW::new(Group { lr: 0.05, weight_decay: 0.0 }, AdamVariant::Torch);
    for step in 0..=200 {
        let (y, saved) = lora.forward(weight.view(), &x, None)?;
        let error = &y - &wanted; // the gradient of half the squared error
        if step % 40 == 0 {
            println!("step {step:3}: mean squared error {:.1e}", (&error * &error).mean().unwrap());
        }
        let (_, grads) = lora.backward(weight.view(), &saved, error.view())?;
        lora.step(&mut weight, &grads, &mut adamw)?;
    }

    let trained = lora.a.len() + lora.b.len();
    println!("trained {trained} numbers beside the {} of W, which did not move", weight.len());
    let distance = (lora.delta_weight(weight.view())? - &change).mapv(|d| d * d).sum().sqrt();
    println!("|dW - C| / |C| = {:.1e}", distance / change.mapv(|c| c * c).sum().sqrt());
    Ok(())
}
// ANCHOR_END: quickstart
