//! DoRA on numbers that `f64` does not round.

use adapter::gradcheck::{Layer, integers};
use dora::Dora;
use lora::Lora;
use ndarray::{Array1, Array2};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// s = 3/2, so α ≠ r, and B ≠ 0. The rows of V = W + s B A are integers of the lengths 1, 2 and 4, so that m/‖V‖ does not
/// round; no m is 0.
pub fn dora(shape: [usize; 4], drop: bool, seed: u64) -> Layer<Dora<f64>> {
    let [_, out, inputs, rank] = shape;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut layer = Layer::new(shape, drop, &mut rng, |rng| {
        let lora = Lora::new(integers(rng, rank, inputs), integers(rng, out, rank), 1.5).unwrap();
        let magnitude = integers(rng, 1, out).mapv(|m| if m == 0.0 { 3.0 } else { m });
        Dora::new(lora, magnitude.row(0).to_owned()).unwrap()
    });
    let Lora { a, b, scale } = &layer.adapter.lora;
    layer.weight = rows(&mut rng, out, inputs) - b.dot(a) * *scale;
    layer
}

/// Rows with one entry of ±1, ±2 or ±4, or, where there is room, four of ±1.
fn rows(rng: &mut ChaCha8Rng, out: usize, inputs: usize) -> Array2<f64> {
    let mut v = Array2::zeros((out, inputs));
    for mut row in v.rows_mut() {
        let draw = rng.next_u32() as usize;
        let sign = |bit: usize| if draw >> bit & 1 == 0 { 1.0 } else { -1.0 };
        let first = draw / 64 % inputs;
        if inputs >= 4 && draw.is_multiple_of(2) {
            (0..4).for_each(|i| row[(first + i) % inputs] = sign(i + 1));
        } else {
            row[first] = sign(1) * [1.0, 2.0, 4.0][draw / 4 % 3];
        }
    }
    v
}

/// The lengths of the rows.
#[allow(dead_code, reason = "not every test needs it")]
pub fn lengths(matrix: &Array2<f64>) -> Array1<f64> {
    matrix.rows().into_iter().map(|row| row.dot(&row).sqrt()).collect()
}
