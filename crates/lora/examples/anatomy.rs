//! LoRA taken apart: `cargo run -p lowrank-lora --example anatomy`.
//!
//! What the first step does, and the analysis of section 7 of the paper (arXiv 2106.09685) on matrices whose answer is
//! known: subspace similarity φ (section 7.2, appendix G), its value for random subspaces, the amplification factor
//! (section 7.3, table 7). Not here: the analysis of a trained language model. `tests/claims.rs` asserts what this prints.

use adapter::{Adapter, Group, Sgd};
use lora::{Init, Lora, Scaling};
use ndarray::{Array2, s};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rank::frobenius;
use rank::subspace::{principal_angles, similarity};

type Result<T = (), E = adapter::Error> = std::result::Result<T, E>;

fn main() -> Result {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    first_step(&mut rng)?;
    similarity_and_distance(&mut rng)?;
    random_subspaces(&mut rng)?;
    amplification(&mut rng)
}

fn gaussian(m: usize, n: usize, rng: &mut ChaCha8Rng) -> Array2<f64> {
    Array2::random_using((m, n), StandardNormal, rng)
}

fn orthonormal(m: usize, n: usize, rng: &mut ChaCha8Rng) -> Result<Array2<f64>> {
    Ok(rank::svd(gaussian(m, n, rng).view())?.u)
}

// ANCHOR: first_step
/// With B = 0 the output is untouched and A gets no gradient: B must move first. One step of SGD makes
/// ΔW = −η s² g AᵀA, where g = (∂L/∂y)ᵀ x is the gradient that full fine-tuning would follow.
fn first_step(rng: &mut ChaCha8Rng) -> Result {
    let (out, inputs, rank, tokens, lr) = (6, 8, 2, 5, 0.1);
    let mut weight = gaussian(out, inputs, rng);
    let x = gaussian(tokens, inputs, rng).into_shared();
    let grad_y = gaussian(tokens, out, rng);
    let mut lora: Lora<f64> =
        Lora::init([out, inputs], rank, 6.0, Scaling::AlphaOverR, Init::default(), rng)?;
    let s = lora.scale;

    let (y, saved) = lora.forward(weight.view(), &x, None)?;
    let (_, grads) = lora.backward(weight.view(), &saved, grad_y.view())?;
    let g = grad_y.t().dot(&x); // [out, tokens]·[tokens, in] → [out, in]
    let predicted = g.dot(&lora.a.t()).dot(&lora.a) * (-lr * s * s);
    lora.step(&mut weight, &grads, &mut Sgd { group: Group { lr, weight_decay: 0.0 } })?;

    println!("The first step                 norm   of the difference");
    for (name, got, want) in [
        ("y      =  x W^T", y, x.dot(&weight.t())),
        ("dL/dA  =  0", grads.a, Array2::zeros((rank, inputs))),
        ("dL/dB  =  s g A^T", grads.b, g.dot(&lora.a.t()) * s),
        ("dW     = -lr s^2 g A^T A", lora.delta_weight(weight.view())?, predicted),
    ] {
        println!("  {name:<25} {:8.4}   {:17.12}", frobenius(&got), frobenius(&(&got - &want)));
    }
    println!();
    Ok(())
}
// ANCHOR_END: first_step

// ANCHOR: similarity
/// φ(i, j) = ‖U_iᵀ V_j‖²_F / min(i, j) lies between 0 and 1. The paper's appendix relates it to the projection distance
/// d² = p − Σσ² as (1 − d²)/p; the algebra gives 1 − d²/p.
fn similarity_and_distance(rng: &mut ChaCha8Rng) -> Result {
    let p = 4;
    let (u, v) = (orthonormal(16, p, rng)?, orthonormal(16, p, rng)?);
    let cosines = principal_angles(u.view(), v.view())?.mapv(f64::cos);
    let distance_squared = p as f64 - cosines.mapv(|cos| cos * cos).sum();
    println!("Similarity of two subspaces of dimension {p} in 16");
    println!("  phi                     {:.4}", similarity(u.view(), v.view())?);
    println!("  1 - d^2/p               {:.4}", 1.0 - distance_squared / p as f64);
    println!("  (1 - d^2)/p, as printed {:.4}\n", (1.0 - distance_squared) / p as f64);
    Ok(())
}
// ANCHOR_END: similarity

// ANCHOR: random_subspaces
/// Even unrelated subspaces overlap: E φ = max(i, j)/D. A φ means something only above that.
fn random_subspaces(rng: &mut ChaCha8Rng) -> Result {
    let (dimension, runs) = (64, 200);
    println!("Random subspaces of R^{dimension}, mean of {runs}");
    println!("   i   j   mean phi   max(i, j)/D");
    for (i, j) in [(1, 1), (2, 8), (8, 8), (9, 4)] {
        let mut sum = 0.0;
        for _ in 0..runs {
            let (u, v) = (orthonormal(dimension, i, rng)?, orthonormal(dimension, j, rng)?);
            sum += similarity(u.view(), v.view())?;
        }
        let expected = i.max(j) as f64 / dimension as f64;
        println!("  {i:2}  {j:2}   {:8.4}   {expected:8.4}", sum / f64::from(runs));
    }
    println!();
    Ok(())
}
// ANCHOR_END: random_subspaces

// ANCHOR: amplification
/// ‖ΔW‖_F / ‖Uᵀ W V‖_F, U and V the singular vectors of ΔW: how much ΔW strengthens directions that W holds weakly.
fn amplification(rng: &mut ChaCha8Rng) -> Result {
    let (size, rank) = (32, 3);
    let weight = gaussian(size, size, rng);
    let of_weight = rank::svd(weight.view())?;
    println!("Amplification of directions of W by a dW of rank {rank}");
    for (name, from) in [("the strongest of W", 0), ("the weakest of W", size - rank)] {
        let there = from..from + rank;
        let (u, vt) = (of_weight.u.slice(s![.., there.clone()]), of_weight.vt.slice(s![there, ..]));
        let delta = u.dot(&vt); // [size, rank]·[rank, size]: every direction with strength 1
        let of_delta = rank::svd(delta.view())?;
        let (u, vt) = (of_delta.u.slice(s![.., ..rank]), of_delta.vt.slice(s![..rank, ..]));
        let inside = u.t().dot(&weight).dot(&vt.t()); // [rank, rank]
        println!("  dW along {name:<19} {:7.3}", frobenius(&delta) / frobenius(&inside));
    }
    println!(
        "  the paper's table 7: 6.91/0.32 = {:.1} (printed 21.5), 3.57/1.90 = {:.2}",
        6.91 / 0.32,
        3.57 / 1.90
    );
    Ok(())
}
// ANCHOR_END: amplification
