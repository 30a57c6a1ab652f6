//! Weights are matrices.

use llama::{Config, Projection};
use ndarray::{Array2, ArrayView2};

// ANCHOR: linear
/// y = x Wᵀ with three loops: `weight` \[out, in\], `x` \[tokens, in\] → \[tokens, out\].
pub fn linear(weight: ArrayView2<'_, f64>, x: ArrayView2<'_, f64>) -> Array2<f64> {
    Array2::from_shape_fn((x.nrows(), weight.nrows()), |(token, out)| {
        (0..weight.ncols()).map(|i| x[[token, i]] * weight[[out, i]]).sum()
    })
}
// ANCHOR_END: linear

// ANCHOR: parameters
/// How many numbers a Llama-architecture model of this configuration has.
pub fn parameters(config: &Config) -> usize {
    let vocabulary = config.vocab_size * config.hidden_size;
    let head = if config.tie_word_embeddings { 0 } else { vocabulary };
    let projections = Projection::ALL.iter().map(|projection| {
        let [out, inputs] = projection.shape(config);
        out * inputs
    });
    // Two norms in a layer, one after the last.
    let layer = projections.sum::<usize>() + 2 * config.hidden_size;
    vocabulary + config.num_hidden_layers * layer + config.hidden_size + head
}
// ANCHOR_END: parameters
