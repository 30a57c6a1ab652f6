//! Weights are matrices: are the answers right?

use exercises::looks::right;
use exercises::work::matrices::{fold, key_rows, linear, parameters};
use llama::tiny;
use ndarray::array;

#[test]
fn linear_is_x_times_w_transposed() {
    let weight = array![[1.0, 2.0, 3.0], [0.0, -1.0, 1.0]];
    let x = array![[1.0, 0.0, 2.0], [4.0, 1.0, -1.0], [0.0, 0.0, 0.0], [0.5, 0.5, 0.5]];
    let got = linear(weight.view(), x.view());
    let want = x.dot(&weight.t());
    right("y", &got, &want, &[("it is W xᵀ, a token in each column", weight.dot(&x.t()))]);
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

#[test]
fn keys_that_heads_share() {
    let tiny = tiny::config();
    // Nine query heads on three heads of keys, each 64 rows high.
    let smollm2 = llama::Config {
        num_attention_heads: 9,
        num_key_value_heads: 3,
        head_dim: 64,
        ..tiny.clone()
    };
    for (head, want) in [(0, 0..64), (2, 0..64), (3, 64..128), (7, 128..192), (8, 128..192)] {
        let got = key_rows(&smollm2, head);
        let modulo = head % 3 * 64..head % 3 * 64 + 64;
        let looks = if got == modulo { ": heads that share lie beside one another" } else { "" };
        assert_eq!(got, want, "query head {head}{looks}");
    }
    let own = llama::Config { num_key_value_heads: 9, ..smollm2 };
    assert_eq!(key_rows(&own, 7), 448..512);
    assert_eq!(key_rows(&tiny, tiny.num_attention_heads - 1).end, 48);
}

#[test]
fn two_layers_are_one() {
    let first = array![[1.0, 2.0, 0.0], [0.0, -1.0, 3.0]]; // [hidden, in]
    let second = array![[2.0, 1.0], [1.0, 0.0], [0.0, -1.0]]; // [out, hidden]
    let x = array![[1.0, 0.0, 2.0], [4.0, 1.0, -1.0]];
    let one = fold(first.view(), second.view());
    let want = second.dot(&first);
    let mistakes =
        [("the order is reversed", first.dot(&second)), ("it is transposed", want.t().to_owned())];
    right("the weight", &one, &want, &mistakes);
    assert_eq!(x.dot(&one.t()), x.dot(&first.t()).dot(&second.t()));
}
