//! Two learning rates for A and B: `cargo run -p lowrank-lora-plus --example lora-plus-quickstart`.
//!
//! LoRA+ (arXiv 2402.12354) on the task of `lora`'s quickstart: the frozen layer is asked to behave like W + C, where C has
//! rank 2. Not here: a real model (`lowrank finetune --method lora-plus`), and which rates are best (`rates`).

use adapter::{AdamVariant, AdamW, Adapter, Group};
use lora::{Init, Lora, Scaling};
use lora_plus::{Groups, LoraPlus};
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
    let lora =
        Lora::init([out, inputs], rank, 4.0, Scaling::AlphaOverR, Init::default(), &mut rng)?;

    println!(
        "steps          0        40        80       120       160       200   mean squared error"
    );
    for ratio in [1.0, 4.0, 16.0] {
        let mut layer = LoraPlus { lora: lora.clone(), groups: Groups::new(ratio)? };
        let mut adamw = AdamW::new(Group { lr: 0.02, weight_decay: 0.0 }, AdamVariant::Torch);
        print!("ratio {ratio:2}");
        for step in 0..=200 {
            let (y, saved) = layer.forward(weight.view(), &x, None)?;
            let error = &y - &wanted; // the gradient of half the squared error
            if step % 40 == 0 {
                print!("   {:.1e}", (&error * &error).mean().unwrap());
            }
            let (_, grads) = layer.backward(weight.view(), &saved, error.view())?;
            layer.step(&mut weight, &grads, &mut adamw)?;
        }
        println!();
    }
    Ok(())
}
// ANCHOR_END: quickstart
