//! Weights are matrices.

use std::ops::Range;

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

// ANCHOR: key_rows
/// The rows of `k_proj` that query head `head` compares itself with.
pub fn key_rows(config: &Config, head: usize) -> Range<usize> {
    // So many query heads share one head of keys.
    let shared_by = config.num_attention_heads / config.num_key_value_heads;
    let first = head / shared_by * config.head_dim;
    first..first + config.head_dim
}
// ANCHOR_END: key_rows

// ANCHOR: fold
/// One weight that does what two do one after the other, with nothing in between: `first` \[hidden, in\], then `second`
/// \[out, hidden\].
pub fn fold(first: ArrayView2<'_, f64>, second: ArrayView2<'_, f64>) -> Array2<f64> {
    // (x W₁ᵀ) W₂ᵀ = x (W₂ W₁)ᵀ
    second.dot(&first) // [out, hidden]·[hidden, in] → [out, in]
}
// ANCHOR_END: fold
