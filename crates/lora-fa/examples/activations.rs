//! What LoRA-FA keeps, and where its two variants step: `cargo run -p lowrank-lora-fa --example activations`.
//!
//! First the bytes that a layer holds between forward and backward, under LoRA and under LoRA-FA (arXiv 2308.03303), counted
//! by `Ledger` and by the memory allocator. Then the plain gradient of B beside the projected one. Not here: the memory of a
//! whole model (`lowrank compare`).

use std::alloc::System;

use adapter::{Adapter, Dropout, Ledger};
use cap::Cap;
use lora::{Init, Lora, Scaling};
use lora_fa::{LoraFa, Variant};
use ndarray::Array2;
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

type Result<T = (), E = adapter::Error> = std::result::Result<T, E>;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

fn main() -> Result {
    bytes_kept()?;
    two_directions()
}

// ANCHOR: bytes
const TOKENS: usize = 512;

/// What a layer keeps for backward in f32. Of LoRA: x and x Aᵀ. Of LoRA-FA: x Aᵀ.
fn bytes_kept() -> Result {
    println!("Bytes kept for the backward pass of {TOKENS} tokens, in f32");
    println!("                      LoRA                LoRA-FA        LoRA / LoRA-FA");
    println!("    in    r   counted   on the heap   counted   on the heap");
    for (inputs, rank, p) in
        [(768, 8, None), (768, 64, None), (4096, 8, None), (4096, 64, None), (4096, 64, Some(0.1))]
    {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let (scaling, init) = (Scaling::AlphaOverR, Init::default());
        let lora: Lora<f32> = Lora::init([64, inputs], rank, 16.0, scaling, init, &mut rng)?;
        let (a, b) = (lora.a.clone(), lora.b.clone());
        let lora_fa = LoraFa::new(a, b, lora.scale, Variant::Plain)?;
        let [loras, heap] = held_after_forward(&lora, inputs, p)?;
        let [own, own_heap] = held_after_forward(&lora_fa, inputs, p)?;
        let ratio = loras as f64 / own as f64;
        let note = if p.is_some() { " with dropout" } else { "" };
        println!(
            "  {inputs:4} {rank:4} {loras:9} {heap:13} {own:9} {own_heap:13} {ratio:10.2}{note}"
        );
    }
    println!();
    Ok(())
}

/// Bytes held once the caller has let go of x and y: by the ledger's count, and by what the heap has grown. A thread of the
/// products that is still starting takes memory too, once: the middle of five counts leaves it out.
fn held_after_forward<A: Adapter<f32>>(
    adapter: &A,
    inputs: usize,
    p: Option<f64>,
) -> Result<[usize; 2]> {
    let weight = Array2::zeros((64, inputs));
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut counts = [[0; 2]; 5];
    for count in &mut counts {
        let before = ALLOCATOR.allocated();
        let saved = {
            let x = Array2::ones((TOKENS, inputs)).into_shared();
            let dropout = p.map(|p| Dropout::draw((TOKENS, inputs), p, &mut rng)).transpose()?;
            adapter.forward(weight.view(), &x, dropout.as_ref())?.1
        };
        *count = [Ledger::of(&saved), ALLOCATOR.allocated() - before];
    }
    counts.sort_unstable();
    Ok(counts[2])
}
// ANCHOR_END: bytes

// ANCHOR: directions
/// Both variants beside the full gradient g of random numbers \[out, in\]. A step moves ΔW along D A, where D is what the
/// optimiser makes of the variant's gradient of B: SGD leaves it, the first step of Adam takes its signs.
fn two_directions() -> Result {
    let (out, inputs) = (768, 768);
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let g = Array2::<f64>::random_using((out, inputs), StandardNormal, &mut rng);
    println!("Cosines of plain and projected, in = {inputs}");
    println!("        of the two signs   of the move of dW and the full gradient");
    println!("                              SGD              Adam");
    println!("   r         cosine      plain  projected   plain  projected");
    for rank in [8, 64, 512] {
        let (scaling, init) = (Scaling::AlphaOverR, Init::default());
        let lora = Lora::init([out, inputs], rank, 16.0, scaling, init, &mut rng)?;
        let (a, b, s) = (lora.a, lora.b, lora.scale);
        let projection = LoraFa::new(a.clone(), b, s, Variant::Projected)?;
        let plain = g.dot(&a.t()) * s; // [out, in]·[in, r] → [out, r]
        let projected = projection.direction(plain.view())?;
        let signs = [&plain, &projected].map(|d| d.mapv(f64::signum));
        let along = |d: &Array2<f64>| cosine(&d.dot(&a), &g); // D A: [out, r]·[r, in] → [out, in]
        println!(
            "  {rank:3} {:14.2} {:11.3} {:10.3} {:7.3} {:10.3}",
            cosine(&signs[0], &signs[1]),
            along(&plain),
            along(&projected),
            along(&signs[0]),
            along(&signs[1]),
        );
    }
    Ok(())
}

fn cosine(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    (a * b).sum() / ((a * a).sum() * (b * b).sum()).sqrt()
}
// ANCHOR_END: directions
