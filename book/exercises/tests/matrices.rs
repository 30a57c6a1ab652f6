//! Weights are matrices: are the answers right?

use exercises::work::matrices::{linear, parameters};
use llama::tiny;
use ndarray::array;

#[test]
fn linear_is_x_times_w_transposed() {
    let weight = array![[1.0, 2.0, 3.0], [0.0, -1.0, 1.0]];
    let x = array![[1.0, 0.0, 2.0], [4.0, 1.0, -1.0], [0.0, 0.0, 0.0], [0.5, 0.5, 0.5]];
    assert_eq!(linear(weight.view(), x.view()), x.dot(&weight.t()));
}

#[test]
fn parameters_of_known_models() {
    let tiny = tiny::config();
    assert_eq!(parameters(&tiny), 306_336);
    let smollm2 = llama::Config {
        vocab_size: 49_152,
        hidden_size: 576,
        intermediate_size: 1536,
        num_hidden_layers: 30,
        num_attention_heads: 9,
        num_key_value_heads: 3,
        head_dim: 64,
        ..tiny.clone()
    };
    assert_eq!(parameters(&smollm2), 134_515_008);
    // An output matrix of its own.
    let untied = llama::Config { tie_word_embeddings: false, ..smollm2 };
    assert_eq!(parameters(&untied), 134_515_008 + 49_152 * 576);
}
