//! Teach a frozen layer a turn and a stretch: `cargo run -p lowrank-dora --example dora-quickstart`.
//!
//! DoRA (arXiv 2402.09353) beside LoRA on two tasks. The first is LoRA's own: behave like W + C, where C has rank 2. In the
//! second every row of W + C is also a little longer or shorter, by a factor of its own. That is a change of full rank, and
//! it is made for DoRA: the factors are its m. Not here: a real model (`lowrank finetune --method dora`), dropout, and
//! larger factors, of which DoRA learns less (`detached`).

use adapter::{AdamVariant, AdamW, Adapter, Group};
use dora::Dora;
use lora::{Init, Lora, Scaling};
use ndarray::{ArcArray2, Array2};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

// ANCHOR: quickstart
fn main() -> Result<(), adapter::Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let (out, inputs, rank, tokens) = (12, 16, 2, 64);
    let mut gaussian = |m, n| Array2::<f64>::random_using((m, n), StandardNormal, &mut rng);
    let weight = gaussian(out, inputs);
    let turned = &weight + &(gaussian(out, rank).dot(&gaussian(rank, inputs)) * 0.2);
    let stretched = &turned * &gaussian(out, 1).mapv(|z: f64| (0.1 * z).exp());
    let x = gaussian(tokens, inputs).into_shared();

    let (scaling, init) = (Scaling::AlphaOverR, Init::default());
    let lora = Lora::init([out, inputs], rank, 4.0, scaling, init, &mut rng)?;
    let dora = Dora::init(weight.view(), lora.clone())?;
    println!("mean squared error at step     0        40        80       120       160       200");
    for (task, wanted) in [("W + C", turned), ("its rows stretched", stretched)] {
        let wanted = x.dot(&wanted.t());
        train(task, "LoRA", lora.clone(), &weight, &x, &wanted)?;
        train(task, "DoRA", dora.clone(), &weight, &x, &wanted)?;
    }
    let trained = lora.a.len() + lora.b.len();
    println!("LoRA trains {trained} numbers, DoRA {}", trained + dora.magnitude.len());
    Ok(())
}

fn train<A: Adapter<f64>>(
    task: &str,
    method: &str,
    mut layer: A,
    weight: &Array2<f64>,
    x: &ArcArray2<f64>,
    wanted: &Array2<f64>,
) -> Result<(), adapter::Error> {
    print!("{task:<18}  {method}");
    let mut weight = weight.clone();
    let mut adamw = AdamW::new(Group { lr: 0.05, weight_decay: 0.0 }, AdamVariant::Torch);
    for step in 0..=200 {
        let (y, saved) = layer.forward(weight.view(), x, None)?;
        let error = &y - wanted; // the gradient of half the squared error
        if step % 40 == 0 {
            print!("   {:.1e}", (&error * &error).mean().unwrap());
        }
        let (_, grads) = layer.backward(weight.view(), &saved, error.view())?;
        layer.step(&mut weight, &grads, &mut adamw)?;
    }
    println!();
    Ok(())
}
// ANCHOR_END: quickstart
