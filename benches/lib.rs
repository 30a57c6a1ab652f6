//! What the benchmarks share: a LoRA layer with random inputs, and the median of their times.

use adapter::{Adapter, Real};
use lora::{Grads, Init, Lora, Scaling};
use ndarray::{ArcArray2, Array2};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A frozen weight with a LoRA adapter, an input and an output gradient: all random, none zero.
pub struct Layer<T> {
    /// \[out, in\].
    pub weight: Array2<T>,
    /// With B ≠ 0, as after some training.
    pub lora: Lora<T>,
    /// \[tokens, in\].
    pub x: ArcArray2<T>,
    /// \[tokens, out\].
    pub grad_y: Array2<T>,
}

impl<T: Real> Layer<T> {
    /// Shapes as in the field docs.
    pub fn new(tokens: usize, out: usize, inputs: usize, rank: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut normal = |rows, columns| {
            let numbers = Array2::<f64>::random_using((rows, columns), StandardNormal, &mut rng);
            numbers.mapv(T::from_f64)
        };
        let (weight, x, grad_y) =
            (normal(out, inputs), normal(tokens, inputs), normal(tokens, out));
        let b = normal(out, rank);
        let mut lora =
            Lora::init([out, inputs], rank, 16.0, Scaling::AlphaOverR, Init::default(), &mut rng)
                .expect("a positive rank");
        lora.b = b;
        Self { weight, lora, x: x.into_shared(), grad_y }
    }

    /// Forward and backward: y, ∂L/∂x, ∂L/∂A, ∂L/∂B.
    pub fn run(&self) -> (Array2<T>, Array2<T>, Grads<T>) {
        let weight = self.weight.view();
        let (y, saved) = self.lora.forward(weight, &self.x, None).expect("shapes fit");
        let (grad_x, grads) =
            self.lora.backward(weight, &saved, self.grad_y.view()).expect("shapes fit");
        (y, grad_x, grads)
    }
}

/// The one in the middle; of an even number the upper one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
