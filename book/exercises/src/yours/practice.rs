//! In practice.

/// The largest rank at which adapters on `all` train no more numbers than adapters of rank `rank` on `few`. Shapes are
/// \[out, in\].
pub fn rank_for(few: &[[usize; 2]], rank: usize, all: &[[usize; 2]]) -> usize {
    todo!()
}

/// The α that leaves the scale s as it is when the rank goes from `from` to `to`. `stabilised`: s is α/√r, and else α/r.
pub fn alpha_for(alpha: f64, from: usize, to: usize, stabilised: bool) -> f64 {
    todo!()
}

/// \[LoRA, LoRA-FA\]: how many numbers the adapters of one layer keep for the backward pass, with one on each of the seven
/// projections. The MLP is `inner` wide inside.
pub fn kept(tokens: usize, width: usize, inner: usize, rank: usize) -> [usize; 2] {
    todo!()
}

/// Do the losses of two settings over seeds have ranges that do not touch?
pub fn apart(first: &[f64], second: &[f64]) -> bool {
    todo!()
}
