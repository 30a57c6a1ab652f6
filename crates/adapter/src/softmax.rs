//! The exponentials of a softmax: attention's and the loss's.

use ndarray::{ArrayViewMut1, Axis};

use crate::Real;

/// x ← exp(scale · (x − max x)). Returns max x and the sum of the results; divided by it they are softmax(scale · x).
/// Both are 0 if x is empty.
///
/// Softmax does not change when all of x moves together; with the largest at 0 nothing overflows. The sum is one of
/// partial sums, whose rounding does not grow with the length as that of a single running sum does.
pub fn exponentials<T: Real>(mut x: ArrayViewMut1<'_, T>, scale: T) -> (T, T) {
    let Some(&first) = x.first() else { return (T::zero(), T::zero()) };
    let largest = x.iter().fold(first, |max, &value| if value > max { value } else { max });
    let mut total = T::zero();
    for mut part in x.axis_chunks_iter_mut(Axis(0), 256) {
        part.mapv_inplace(|value| ((value - largest) * scale).exp());
        total += part.sum();
    }
    (largest, total)
}
