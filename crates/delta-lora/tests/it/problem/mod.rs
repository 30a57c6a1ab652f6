//! One layer and a task for it: least squares towards a target of full rank.

use adapter::{Adapter, Optimizer};
use lora::Lora;
use ndarray::{ArcArray2, Array2};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

pub const OUT: usize = 5;
pub const INPUTS: usize = 7;
pub const RANK: usize = 2;
pub const SCALE: f64 = 1.5;

#[derive(Clone)]
pub struct Problem {
    pub weight: Array2<f64>,
    pub x: ArcArray2<f64>,
    pub target: Array2<f64>,
    pub a: Array2<f64>,
    pub b: Array2<f64>,
}

impl Problem {
    pub fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut gaussian = |m, n| Array2::<f64>::random_using((m, n), StandardNormal, &mut rng);
        Self {
            weight: gaussian(OUT, INPUTS),
            x: gaussian(12, INPUTS).into_shared(),
            target: gaussian(12, OUT),
            a: gaussian(RANK, INPUTS),
            b: gaussian(OUT, RANK),
        }
    }

    pub fn lora(&self) -> Lora<f64> {
        Lora::new(self.a.clone(), self.b.clone(), SCALE).unwrap()
    }

    pub fn train<A: Adapter<f64>>(
        &self,
        adapter: &mut A,
        weight: &mut Array2<f64>,
        optimizer: &mut dyn Optimizer<f64>,
        updates: u64,
    ) {
        for _ in 0..updates {
            let (y, saved) = adapter.forward(weight.view(), &self.x, None).unwrap();
            let grad_y = (y - &self.target) / self.x.nrows() as f64;
            let (_, grads) = adapter.backward(weight.view(), &saved, grad_y.view()).unwrap();
            adapter.step(weight, &grads, optimizer).unwrap();
        }
    }
}
