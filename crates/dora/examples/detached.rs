//! What DoRA's gradient leaves out, and what that does: `cargo run -p dora --example detached`.
//!
//! Section 4.3 of the paper (arXiv 2402.09353) holds ‖V‖ constant in backward, and so do PEFT and this crate. Here the missing
//! part is put back, and both ways of training are run on the quickstart's second task, with small and with larger factors.
//! Not here: a real model, where the authors find little difference.

use adapter::{AdamVariant, AdamW, Adapter, Group};
use dora::{Dora, Grads};
use lora::{Init, Lora, Scaling};
use ndarray::{ArcArray2, Array2, Axis};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

type Result<T = (), E = adapter::Error> = std::result::Result<T, E>;

// ANCHOR: missing
/// What comes to A and B through ‖V‖. ‖V_i‖ moves with V̂_i, and L by −c_i ∂L/∂m_i for each unit of ‖V_i‖:
/// M_i = −c_i ∂L/∂m_i V̂_i is missing from ∂L/∂V, s Bᵀ M from ∂L/∂A, and s M Aᵀ from ∂L/∂B.
fn missing(dora: &Dora<f64>, weight: &Array2<f64>, grads: &Grads<f64>) -> Result<lora::Grads<f64>> {
    let Lora { a, b, scale } = &dora.lora;
    let norm = dora.norm(weight.view())?; // [out]
    let v = dora.lora.delta_weight(weight.view())? + weight; // [out, in]
    let per_row = -(&dora.magnitude / &norm) * &grads.magnitude / &norm; // [out]
    let m = v * &per_row.insert_axis(Axis(1)); // [out, in]
    Ok(lora::Grads {
        a: b.t().dot(&m) * *scale, // [r, out]·[out, in] → [r, in]
        b: m.dot(&a.t()) * *scale, // [out, in]·[in, r] → [out, r]
    })
}
// ANCHOR_END: missing

fn main() -> Result {
    for spread in [0.1, 0.2] {
        println!("lengths changed by factors exp({spread} z), z from N(0, 1)");
        println!(
            "mean squared error at step     0        40        80       120       160       200"
        );
        let task = Task::new(spread)?;
        task.train("LoRA", task.lora.clone(), |_, grads| Ok(grads))?;
        let dora = Dora::init(task.weight.view(), task.lora.clone())?;
        task.train("DoRA", dora.clone(), |_, grads| Ok(grads))?;
        let mut shares = Vec::new();
        task.train("DoRA, whole gradient", dora, |dora, mut grads| {
            let missing = missing(dora, &task.weight, &grads)?;
            grads.lora.a += &missing.a;
            grads.lora.b += &missing.b;
            shares.push(norm(&missing) / norm(&grads.lora));
            Ok(grads)
        })?;
        shares.truncate(40);
        shares.sort_by(f64::total_cmp);
        println!("|missing| / |whole|, median of 40 steps: {:.2}\n", shares[20]);
    }
    Ok(())
}

/// √Σ g² over all tensors.
fn norm(grads: &lora::Grads<f64>) -> f64 {
    adapter::tensors::squared_norm(grads).sqrt()
}

/// W + C with its rows stretched, where C has rank 2.
struct Task {
    weight: Array2<f64>,
    x: ArcArray2<f64>,
    wanted: Array2<f64>,
    lora: Lora<f64>,
}

impl Task {
    fn new(spread: f64) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let (out, inputs, rank, tokens) = (12, 16, 2, 64);
        let mut gaussian = |m, n| Array2::<f64>::random_using((m, n), StandardNormal, &mut rng);
        let weight = gaussian(out, inputs);
        let turned = &weight + &(gaussian(out, rank).dot(&gaussian(rank, inputs)) * 0.2);
        let stretched = &turned * &gaussian(out, 1).mapv(|z: f64| (spread * z).exp());
        let x = gaussian(tokens, inputs).into_shared();
        let (scaling, init) = (Scaling::AlphaOverR, Init::default());
        let lora = Lora::init([out, inputs], rank, 4.0, scaling, init, &mut rng)?;
        Ok(Self { weight, wanted: x.dot(&stretched.t()), x, lora })
    }

    /// AdamW along what `correct` makes of the gradient.
    fn train<A: Adapter<f64>>(
        &self,
        name: &str,
        mut layer: A,
        mut correct: impl FnMut(&A, A::Grads) -> Result<A::Grads>,
    ) -> Result {
        print!("{name:<24}");
        let mut weight = self.weight.clone();
        let mut adamw = AdamW::new(Group { lr: 0.05, weight_decay: 0.0 }, AdamVariant::Torch);
        for step in 0..=200 {
            let (y, saved) = layer.forward(weight.view(), &self.x, None)?;
            let error = &y - &self.wanted; // the gradient of half the squared error
            if step % 40 == 0 {
                print!("   {:.1e}", (&error * &error).mean().unwrap());
            }
            let (_, grads) = layer.backward(weight.view(), &saved, error.view())?;
            let grads = correct(&layer, grads)?;
            layer.step(&mut weight, &grads, &mut adamw)?;
        }
        println!();
        Ok(())
    }
}
