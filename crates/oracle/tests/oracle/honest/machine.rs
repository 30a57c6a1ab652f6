//! Arithmetic that rounds as a processor does: sums in one format, what is stored in another, in any order.

use half::{bf16, f16};
use ndarray::{Array2, ArrayD};
use oracle::Tensor;
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::Dtype;

/// How products are summed.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    Forwards,
    Backwards,
    Halves,
    /// Eight partial sums, as SIMD has them.
    Lanes,
    Shuffled,
}

pub const ORDERS: [Order; 5] =
    [Order::Forwards, Order::Backwards, Order::Halves, Order::Lanes, Order::Shuffled];

/// An implementation's arithmetic, and the choices an honest one is free to make.
pub struct Machine {
    /// Stored tensors; sums are F32, or F64 for F64.
    pub dtype: Dtype,
    pub order: Order,
    pub fused: bool,
    /// Both terms of y in one sum, [x, s h]·[W, B]ᵀ.
    pub concatenated: bool,
    /// Where s goes: h, the product, or a factor.
    pub scale_on: usize,
    /// s, 1 − p from rounded parts, or rounded once.
    pub parts: bool,
    /// The bias comes last; an interpolation in AdamW.
    pub other: bool,
    pub rng: ChaCha8Rng,
}

impl Machine {
    pub fn store(&self, x: f64) -> f64 {
        match self.dtype {
            Dtype::F64 => x,
            Dtype::F32 => f64::from(x as f32),
            Dtype::BF16 => bf16::from_f64(x).to_f64(),
            Dtype::F16 => f16::from_f64(x).to_f64(),
            other => panic!("{other}"),
        }
    }

    /// One rounding of the accumulator. The sum or product of two F32 in F64, rounded again, is the sum or product in F32:
    /// 53 ≥ 2 · 24 + 2.
    fn sum(&self, x: f64) -> f64 {
        if self.dtype == Dtype::F64 { x } else { f64::from(x as f32) }
    }

    /// Σ a b, not stored yet.
    pub fn dot(&mut self, mut terms: Vec<(f64, f64)>) -> f64 {
        let this = &*self;
        let add = |total: f64, (a, b): (f64, f64)| {
            if this.fused { this.sum(a * b + total) } else { this.sum(this.sum(a * b) + total) }
        };
        match self.order {
            Order::Forwards => terms.into_iter().fold(0.0, add),
            Order::Backwards => terms.into_iter().rev().fold(0.0, add),
            Order::Halves => self.halves(&terms),
            Order::Lanes => {
                let mut lanes = [0.0; 8];
                for (i, term) in terms.into_iter().enumerate() {
                    lanes[i % 8] = add(lanes[i % 8], term);
                }
                lanes.into_iter().fold(0.0, |total, lane| self.sum(total + lane))
            }
            Order::Shuffled => {
                let mut rng = self.rng.clone();
                terms.shuffle(&mut rng);
                let total = terms.into_iter().fold(0.0, add);
                self.rng = rng;
                total
            }
        }
    }

    fn halves(&self, terms: &[(f64, f64)]) -> f64 {
        match terms {
            [] => 0.0,
            [(a, b)] => self.sum(a * b),
            _ => {
                let (left, right) = terms.split_at(terms.len() / 2);
                self.sum(self.halves(left) + self.halves(right))
            }
        }
    }

    /// a bᵀ, not stored: [i, k]·[j, k] → [i, j].
    pub fn product(&mut self, a: &Array2<f64>, b: &Array2<f64>) -> Array2<f64> {
        Array2::from_shape_fn((a.nrows(), b.nrows()), |(i, j)| {
            self.dot(a.row(i).iter().copied().zip(b.row(j).iter().copied()).collect())
        })
    }

    /// a bᵀ, stored.
    pub fn matmul(&mut self, a: &Array2<f64>, b: &Array2<f64>) -> Array2<f64> {
        let product = self.product(a, b);
        self.stored(product)
    }

    pub fn stored(&self, a: Array2<f64>) -> Array2<f64> {
        a.mapv(|x| self.store(x))
    }

    /// f of two stored tensors, stored.
    pub fn each(
        &self,
        a: &Array2<f64>,
        b: &Array2<f64>,
        f: impl Fn(f64, f64) -> f64,
    ) -> Array2<f64> {
        let mut out = a.clone();
        out.zip_mut_with(&b.broadcast(a.dim()).expect("the same shape, or a row"), |x, &y| {
            *x = self.store(f(*x, y));
        });
        out
    }

    pub fn times(&self, a: &Array2<f64>, factor: f64) -> Array2<f64> {
        a.mapv(|x| self.store(x * factor))
    }

    /// s = α/r or α/√r.
    pub fn scale(&self, alpha: f64, rank: usize, stabilised: bool) -> f64 {
        let r = rank as f64;
        let root = if stabilised { r.sqrt() } else { r };
        match self.parts {
            true => self.store(self.store(alpha) / self.store(root)),
            false => self.store(alpha / root),
        }
    }

    /// x ⊙ mask/(1 − p).
    pub fn dropped(&self, x: &Array2<f64>, mask: Option<&Array2<u8>>, p: f64) -> Array2<f64> {
        let Some(mask) = mask else { return x.clone() };
        let mut out = x.clone();
        out.zip_mut_with(mask, |x, &kept| {
            let scaled = if self.parts {
                *x / self.store(1.0 - p)
            } else {
                *x * self.store(1.0 / (1.0 - p))
            };
            *x = if kept == 1 { self.store(scaled) } else { 0.0 };
        });
        out
    }

    /// A tensor of the submission.
    pub fn tensor(&self, a: &ArrayD<f64>) -> Tensor {
        let data = match self.dtype {
            Dtype::F64 => a.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Dtype::F32 => a.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect(),
            Dtype::BF16 => a.iter().flat_map(|&x| bf16::from_f64(x).to_le_bytes()).collect(),
            _ => a.iter().flat_map(|&x| f16::from_f64(x).to_le_bytes()).collect(),
        };
        Tensor { dtype: self.dtype, shape: a.shape().to_vec(), data }
    }
}

/// A number with 8 significant bits: exact in every format.
pub fn on_grid(rng: &mut ChaCha8Rng) -> f64 {
    let exponent = rng.random_range(-4..3);
    let sign = if rng.random() { 1.0 } else { -1.0 };
    sign * f64::from(rng.random_range(128_u32..256)) * 2.0_f64.powi(exponent - 7)
}

pub fn matrix(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || on_grid(rng))
}
