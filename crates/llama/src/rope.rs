//! Rotary position embedding (Su et al. 2021, arXiv 2104.09864), in Hugging Face's layout: of the d numbers of a head
//! that turn, number i is turned together with number i + d/2. With partial RoPE d is less than the head's width, and
//! the numbers after the d-th stay.

use adapter::Real;
use ndarray::{Array2, ArrayViewMut2};

use crate::{Config, Result};

/// The rotations of all layers: one for all, or a second one for those with a window.
pub struct Rotations<T> {
    all: Rotation<T>,
    sliding: Option<Rotation<T>>,
}

impl<T: Real> Rotations<T> {
    /// Of tokens at these positions.
    ///
    /// # Errors
    /// See [`Config::check_length`].
    pub fn new(positions: &[usize], config: &Config) -> Result<Self> {
        config.check_length(positions.iter().max().map_or(0, |last| last + 1))?;
        let rotation = |frequencies: Vec<f64>, factor| {
            Rotation::new(positions, &frequencies, factor, config.head_dim)
        };
        Ok(Self {
            all: rotation(config.frequencies(), config.attention_factor()),
            sliding: config.sliding_frequencies().map(|frequencies| rotation(frequencies, 1.0)),
        })
    }

    /// This layer's; `None` without RoPE.
    pub fn of(&self, layer: usize, config: &Config) -> Option<&Rotation<T>> {
        let sliding = self.sliding.as_ref().filter(|_| config.window(layer).is_some());
        config.rotates(layer).then(|| sliding.unwrap_or(&self.all))
    }
}

/// cos and sin of the angle of each token and pair, \[tokens, d / 2\], times the attention factor.
pub struct Rotation<T> {
    cos: Array2<T>,
    sin: Array2<T>,
    /// Width of a head.
    width: usize,
}

impl<T: Real> Rotation<T> {
    /// The angles are position · frequency.
    fn new(positions: &[usize], frequencies: &[f64], factor: f64, width: usize) -> Self {
        let angles =
            Array2::from_shape_fn((positions.len(), frequencies.len()), |(token, pair)| {
                positions[token] as f64 * frequencies[pair]
            });
        Self {
            cos: angles.mapv(|angle| T::from_f64(factor * angle.cos())),
            sin: angles.mapv(|angle| T::from_f64(factor * angle.sin())),
            width,
        }
    }

    /// Turn every head of every token forward: (a, b) ← (a cos − b sin, b cos + a sin).
    pub fn apply(&self, x: &mut Array2<T>) {
        self.turn(x.view_mut(), T::one());
    }

    /// The backward pass, which is the transpose: turn back, by the same factor.
    pub fn backward(&self, x: &mut Array2<T>) {
        self.turn(x.view_mut(), -T::one());
    }

    fn turn(&self, mut x: ArrayViewMut2<'_, T>, direction: T) {
        let half = self.cos.ncols();
        for (token, mut row) in x.outer_iter_mut().enumerate() {
            for mut head in row.exact_chunks_mut(self.width) {
                let (mut first, mut second) =
                    head.multi_slice_mut((ndarray::s![..half], ndarray::s![half..2 * half]));
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
