//! The projections that PEFT draws from a `projection_prng_key`, bit for bit: what makes a checkpoint of two vectors a
//! layer and a seed a complete one.

use adapter::{Real, Result};
use ndarray::Array2;
use rand_mt::Mt;

use crate::Projections;

impl<T: Real> Projections<T> {
    // ANCHOR: peft
    /// As PEFT 0.21 and PyTorch draw them on a CPU: `f32` from U(−√(6/fan_in), √(6/fan_in)) by the Mersenne Twister
    /// MT19937, seeded with the key mod 2³², A first, row by row.
    ///
    /// PEFT's `[outputs, inputs]` are the largest of the adapted layers: another set of layers, other numbers.
    ///
    /// # Errors
    /// The rank is 0.
    pub fn peft(key: u64, rank: usize, [outputs, inputs]: [usize; 2]) -> Result<Self> {
        let mut rng = Mt::new(key as u32);
        let mut draw = |rows, columns: usize| {
            // √3·(√2/√fan_in), each step rounded as PEFT's is.
            let bound = 3f64.sqrt() * (2f64.sqrt() / (columns.max(1) as f64).sqrt());
            let (low, high) = (-bound as f32, bound as f32);
            Array2::from_shape_simple_fn((rows, columns), || {
                // 24 random bits, the precision of an f32, then arithmetic in f64.
                let unit = f64::from(rng.next_u32() & 0xff_ffff) / f64::from(1 << 24);
                let value = unit * f64::from(high - low) + f64::from(low);
                T::from_f64(f64::from(value as f32))
            })
        };
        let (a, b) = (draw(rank, inputs), draw(outputs, rank));
        Self::new(a, b)
    }
    // ANCHOR_END: peft
}
