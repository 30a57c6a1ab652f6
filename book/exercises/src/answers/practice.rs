//! In practice.

// ANCHOR: rank_for
/// The largest rank at which adapters on `all` train no more numbers than adapters of rank `rank` on `few`. Shapes are
/// \[out, in\].
pub fn rank_for(few: &[[usize; 2]], rank: usize, all: &[[usize; 2]]) -> usize {
    let of_rank_1 =
        |shapes: &[[usize; 2]]| -> usize { shapes.iter().map(|[out, inputs]| out + inputs).sum() };
    rank * of_rank_1(few) / of_rank_1(all)
}
// ANCHOR_END: rank_for

// ANCHOR: alpha_for
/// The α that leaves the scale s as it is when the rank goes from `from` to `to`. `stabilised`: s is α/√r, and else α/r.
pub fn alpha_for(alpha: f64, from: usize, to: usize, stabilised: bool) -> f64 {
    let ratio = to as f64 / from as f64;
    alpha * if stabilised { ratio.sqrt() } else { ratio }
}
// ANCHOR_END: alpha_for

// ANCHOR: kept
/// \[LoRA, LoRA-FA\]: how many numbers the adapters of one layer keep for the backward pass, with one on each of the seven
/// projections. The MLP is `inner` wide inside.
pub fn kept(tokens: usize, width: usize, inner: usize, rank: usize) -> [usize; 2] {
    // q, k and v read one array, o another, gate and up a third, down a fourth.
    let inputs = tokens * (3 * width + inner);
    let products = 7 * tokens * rank;
    [inputs + products, products]
}
// ANCHOR_END: kept

// ANCHOR: apart
/// Do the losses of two settings over seeds have ranges that do not touch?
pub fn apart(first: &[f64], second: &[f64]) -> bool {
    // A NaN, of a run that diverged, is below nothing.
    let below = |low: &[f64], high: &[f64]| low.iter().all(|l| high.iter().all(|h| l < h));
    below(first, second) || below(second, first)
}
// ANCHOR_END: apart
