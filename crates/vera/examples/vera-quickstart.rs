//! Teach a frozen layer a change with two vectors: `cargo run -p lowrank-vera --example vera-quickstart`.
//!
//! VeRA (arXiv 2310.11454): A and B are random and stay; b and d are trained. A change that some b and d make is found. A
//! change of rank 2 that has nothing to do with A and B is not, for out + r numbers cannot say it. Not here: a real model
//! (`lowrank finetune --method vera`), dropout, a schedule.

use std::sync::Arc;

use adapter::{AdamVariant, AdamW, Adapter, Group, tensors};
use ndarray::{Array1, Array2};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use vera::{Projections, Vera};

// ANCHOR: quickstart
fn main() -> Result<(), adapter::Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let (out, inputs, rank, tokens) = (12, 16, 8, 64);
    let projections = Arc::new(Projections::peft(0, rank, [out, inputs])?);
    let mut gaussian = |m, n| Array2::<f64>::random_using((m, n), StandardNormal, &mut rng);
    let mut weight = gaussian(out, inputs);
    let x = gaussian(tokens, inputs).into_shared();
    let hidden = [out, rank].map(|length| Array1::from_iter(gaussian(1, length)));
    let hidden = Vera::new(hidden[0].clone(), hidden[1].clone(), inputs, projections.clone())?;
    let norm = |matrix: &Array2<f64>| matrix.mapv(|v| v * v).sum().sqrt();
    let any_other = gaussian(out, 2).dot(&gaussian(2, inputs));

    for (name, change) in
        [("that b and d can make", hidden.delta_weight(weight.view())?), ("of rank 2", any_other)]
    {
        let wanted = x.dot(&(&weight + &change).t());
        let mut vera = Vera::init([out, inputs], 0.1, projections.clone())?;
        let mut adamw = AdamW::new(Group { lr: 0.05, weight_decay: 0.0 }, AdamVariant::Torch);
        println!("a change {name}, with {} trained numbers", tensors::count(&vera));
        for step in 0..=300 {
            let (y, saved) = vera.forward(weight.view(), &x, None)?;
            let error = &y - &wanted; // the gradient of half the squared error
            if step % 100 == 0 {
                let left = norm(&(vera.delta_weight(weight.view())? - &change)) / norm(&change);
                println!("  step {step:3}: |dW - C| / |C| = {left:.4}");
            }
            let (_, grads) = vera.backward(weight.view(), &saved, error.view())?;
            vera.step(&mut weight, &grads, &mut adamw)?;
        }
    }
    Ok(())
}
// ANCHOR_END: quickstart
