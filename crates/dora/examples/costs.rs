//! What DoRA costs beside LoRA: `cargo run -p lowrank-dora --example costs`.
//!
//! The numbers trained and the bytes that a layer keeps for the backward pass (arXiv 2402.09353 beside 2106.09685), counted by
//! `Ledger`, and the multiplications of a forward and a backward pass, counted from shapes. Not here: seconds, which are the
//! machine's, and what an automatic differentiation would keep.

use adapter::{Adapter, Ledger, tensors};
use dora::Dora;
use lora::{Init, Lora, Scaling};
use ndarray::Array2;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

// ANCHOR: costs
const TOKENS: usize = 512;
const RANK: usize = 8;

fn main() -> Result<(), adapter::Error> {
    println!("{TOKENS} tokens, rank {RANK}, f32");
    println!("                      trained         kept for backward     multiplications");
    println!("    in    out      LoRA    DoRA        LoRA        DoRA       DoRA / LoRA");
    for (inputs, out) in [(576, 576), (576, 192), (576, 1536), (1536, 576), (2048, 2048)] {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let (scaling, init) = (Scaling::AlphaOverR, Init::default());
        let lora: Lora<f32> = Lora::init([out, inputs], RANK, 16.0, scaling, init, &mut rng)?;
        let weight = Array2::ones((out, inputs));
        let dora = Dora::init(weight.view(), lora.clone())?;
        let x = Array2::ones((TOKENS, inputs)).into_shared();
        let (_, by_lora) = lora.forward(weight.view(), &x, None)?;
        let (_, by_dora) = dora.forward(weight.view(), &x, None)?;

        // x Wᵀ and ∂L/∂y W; three products with A and three with B, there and back.
        let of_lora = 2 * TOKENS * inputs * out + 3 * TOKENS * RANK * (inputs + out);
        // B A, s and the squares of V = W + s B A; c on y and on ∂L/∂y, and ∂L/∂y ⊙ u.
        let more = (RANK + 2) * inputs * out + 3 * TOKENS * out;
        println!(
            "  {inputs:4} {out:6} {:9} {:7} {:11} {:11} {:17.3}",
            tensors::count(&lora),
            tensors::count(&dora),
            Ledger::of(&by_lora),
            Ledger::of(&by_dora),
            (of_lora + more) as f64 / of_lora as f64,
        );
    }
    Ok(())
}
// ANCHOR_END: costs
