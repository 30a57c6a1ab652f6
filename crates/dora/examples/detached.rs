//! What DoRA's gradient leaves out, and what that does: `cargo run -p lowrank-dora --example detached`.
//!
//! Section 4.3 of the paper (arXiv 2402.09353) holds ‖V‖ constant in backward, and so do PEFT and this crate. Here the missing
//! part is put back, and both ways of training are run on tasks like the quickstart's second, with small and with larger
//! factors. Not here: a real model.

use adapter::{AdamVariant, AdamW, Adapter, Group};
use dora::{Dora, Grads};
use lora::{Init, Lora, Scaling};
use ndarray::{ArcArray2, Array2, Axis};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

type Result<T = (), E = adapter::Error> = std::result::Result<T, E>;

const DRAWS: u64 = 10;
const STEPS: usize = 200;

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

// ANCHOR: detached
fn main() -> Result {
    println!(
        "Mean squared error after {STEPS} steps, of {DRAWS} tasks: geometric mean, and the largest"
    );
    println!(
        "lengths            LoRA                DoRA        DoRA, whole gradient   missing/whole"
    );
    for spread in [0.05, 0.1, 0.2] {
        print!("exp({spread:4} z)");
        let mut shares = Vec::new();
        let errors: Vec<[f64; 3]> = (0..DRAWS)
            .map(|seed| {
                let task = Task::new(spread, seed)?;
                let dora = Dora::init(task.weight.view(), task.lora.clone())?;
                let whole = |dora: &Dora<f64>, mut grads: Grads<f64>| {
                    let missing = missing(dora, &task.weight, &grads)?;
                    grads.lora.a += &missing.a;
                    grads.lora.b += &missing.b;
                    shares.push(norm(&missing) / norm(&grads.lora));
                    Ok(grads)
                };
                Ok([
                    task.train(task.lora.clone(), |_, grads| Ok(grads))?,
                    task.train(dora.clone(), |_, grads| Ok(grads))?,
                    task.train(dora, whole)?,
                ])
            })
            .collect::<Result<_>>()?;
        for method in 0..3 {
            let of = || errors.iter().map(|task| task[method]);
            let mean = (of().map(f64::ln).sum::<f64>() / errors.len() as f64).exp();
            print!("   {mean:7.0e} {:7.0e}", of().max_by(f64::total_cmp).unwrap());
        }
        shares.sort_by(f64::total_cmp);
        println!("{:16.2}", shares[shares.len() / 2]); // the median over steps and tasks
    }
    Ok(())
}
// ANCHOR_END: detached

/// √Σ g² over all tensors.
fn norm(grads: &lora::Grads<f64>) -> f64 {
    adapter::tensors::squared_norm(grads).sqrt()
}

/// W + C with its rows stretched by factors exp(spread · z), z from N(0, 1), where C has rank 2.
struct Task {
    weight: Array2<f64>,
    x: ArcArray2<f64>,
    wanted: Array2<f64>,
    lora: Lora<f64>,
}

impl Task {
    fn new(spread: f64, seed: u64) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
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

    /// The mean squared error that AdamW reaches along what `correct` makes of the gradient.
    fn train<A: Adapter<f64>>(
        &self,
        mut layer: A,
        mut correct: impl FnMut(&A, A::Grads) -> Result<A::Grads>,
    ) -> Result<f64> {
        let mut weight = self.weight.clone();
        let mut adamw = AdamW::new(Group { lr: 0.05, weight_decay: 0.0 }, AdamVariant::Torch);
        for _ in 0..STEPS {
            let (y, saved) = layer.forward(weight.view(), &self.x, None)?;
            let error = &y - &self.wanted; // the gradient of half the squared error
            let (_, grads) = layer.backward(weight.view(), &saved, error.view())?;
            let grads = correct(&layer, grads)?;
            layer.step(&mut weight, &grads, &mut adamw)?;
        }
        let (y, _) = layer.forward(weight.view(), &self.x, None)?;
        Ok((y - &self.wanted).mapv(|error| error * error).mean().unwrap_or(f64::NAN))
    }
}
