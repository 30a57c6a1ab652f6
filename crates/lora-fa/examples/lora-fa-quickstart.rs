//! Teach a frozen layer a change through a frozen A: `cargo run -p lowrank-lora-fa --example lora-fa-quickstart`.
//!
//! LoRA-FA (arXiv 2308.03303) on the task of LoRA's quickstart: behave like W + C, where C has rank 2. A stays as it was
//! drawn, so of C only the part in the row space of A can be learnt: C P with P = Aᵀ(AAᵀ)⁻¹A. Not here: a real model
//! (`lowrank finetune --method lora-fa`), dropout, a schedule.

use adapter::{AdamVariant, AdamW, Adapter, Group};
use lora::{Init, Scaling};
use lora_fa::{Cholesky, LoraFa, Variant};
use ndarray::Array2;
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

// ANCHOR: quickstart
fn main() -> Result<(), adapter::Error> {
    let (out, inputs, rank) = (12, 16, 8);
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut gaussian = |m, n| Array2::<f64>::random_using((m, n), StandardNormal, &mut rng);
    let mut weight = gaussian(out, inputs);
    let change = gaussian(out, 2).dot(&gaussian(2, inputs));
    // A token for each input: then the error of y is that of W + ΔW itself.
    let x = Array2::eye(inputs).into_shared();
    let wanted = x.dot(&(&weight + &change).t());

    let (scaling, init, variant) = (Scaling::AlphaOverR, Init::default(), Variant::Projected);
    let mut lora_fa = LoraFa::init([out, inputs], rank, 16.0, scaling, init, variant, &mut rng)?;
    let mut adamw = AdamW::new(Group { lr: 0.05, weight_decay: 0.0 }, AdamVariant::Hf);
    for step in 0..=200 {
        let (y, saved) = lora_fa.forward(weight.view(), &x, None)?;
        let error = &y - &wanted; // the gradient of half the squared error
        if step % 40 == 0 {
            println!("step {step:3}: mean squared error {:.4}", (&error * &error).mean().unwrap());
        }
        let (_, grads) = lora_fa.backward(weight.view(), &saved, error.view())?;
        lora_fa.step(&mut weight, &grads, &mut adamw)?;
    }

    let norm = |matrix: &Array2<f64>| matrix.mapv(|v| v * v).sum().sqrt();
    let a = lora_fa.lora().a.view();
    let reachable = Cholesky::of_gram(a)?.solve(change.dot(&a.t()))?.dot(&a); // C P
    println!("trained {} numbers: B, and not the {} of A", lora_fa.lora().b.len(), a.len());
    let delta = lora_fa.delta_weight(weight.view())?;
    println!("|dW - C|  / |C| = {:.4}", norm(&(delta - &change)) / norm(&change));
    println!("|C P - C| / |C| = {:.4}", norm(&(&reachable - &change)) / norm(&change));
    Ok(())
}
// ANCHOR_END: quickstart
