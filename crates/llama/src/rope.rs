//! Rotary position embedding (Su et al. 2021, arXiv 2104.09864), in Hugging Face's layout: number i of a head is
//! turned together with number i + head_dim/2.

use adapter::Real;
use ndarray::{Array2, ArrayViewMut2};

/// cos and sin of the angle of each token and pair: \[tokens, head_dim / 2\].
pub struct Rotation<T> {
    cos: Array2<T>,
    sin: Array2<T>,
}

impl<T: Real> Rotation<T> {
    /// The angles are position · frequency.
    pub fn new(positions: &[usize], frequencies: &[f64]) -> Self {
        let angles =
            Array2::from_shape_fn((positions.len(), frequencies.len()), |(token, pair)| {
                positions[token] as f64 * frequencies[pair]
            });
        Self {
            cos: angles.mapv(|angle| T::from_f64(angle.cos())),
            sin: angles.mapv(|angle| T::from_f64(angle.sin())),
        }
    }

    /// Turn every head of every token forward: (a, b) ← (a cos − b sin, b cos + a sin).
    pub fn apply(&self, x: &mut Array2<T>) {
        self.turn(x.view_mut(), T::one());
    }

    /// Turn back. A rotation's inverse is its transpose, so this is also its backward pass.
    pub fn undo(&self, x: &mut Array2<T>) {
        self.turn(x.view_mut(), -T::one());
    }

    fn turn(&self, mut x: ArrayViewMut2<'_, T>, direction: T) {
        let half = self.cos.ncols();
        for (token, mut row) in x.outer_iter_mut().enumerate() {
            for mut head in row.exact_chunks_mut(2 * half) {
                let (mut first, mut second) =
                    head.multi_slice_mut((ndarray::s![..half], ndarray::s![half..]));
                for pair in 0..half {
                    let (cos, sin) = (self.cos[[token, pair]], direction * self.sin[[token, pair]]);
                    let (a, b) = (first[pair], second[pair]);
                    first[pair] = a * cos - b * sin;
                    second[pair] = b * cos + a * sin;
                }
            }
        }
    }
}
