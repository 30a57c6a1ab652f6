//! The shapes of some models.

use llama::Config;

/// Those that the page *What fits* offers, with their names.
#[must_use]
pub fn models() -> [(&'static str, Config); 4] {
    [
        ("SmolLM2-135M", smollm2()),
        ("Llama-2-7B", llama2_7b()),
        ("Llama-3-8B", llama3_8b()),
        ("Llama-3-70B", llama3_70b()),
    ]
}

/// The shapes of SmolLM2-135M.
#[must_use]
pub fn smollm2() -> Config {
    Config {
        vocab_size: 49_152,
        hidden_size: 576,
        intermediate_size: 1536,
        num_hidden_layers: 30,
        num_attention_heads: 9,
        num_key_value_heads: 3,
        head_dim: 64,
        ..llama::tiny::config()
    }
}

/// The shapes of Llama-2-7B.
#[must_use]
pub fn llama2_7b() -> Config {
    Config {
        vocab_size: 32_000,
        hidden_size: 4096,
        intermediate_size: 11_008,
        num_hidden_layers: 32,
        num_attention_heads: 32,
        num_key_value_heads: 32,
        head_dim: 128,
        tie_word_embeddings: false,
        ..llama::tiny::config()
    }
}

/// The shapes of Llama-3-8B.
#[must_use]
pub fn llama3_8b() -> Config {
    Config { vocab_size: 128_256, intermediate_size: 14_336, num_key_value_heads: 8, ..llama2_7b() }
}

/// The shapes of Llama-3-70B.
#[must_use]
pub fn llama3_70b() -> Config {
    Config {
        hidden_size: 8192,
        intermediate_size: 28_672,
        num_hidden_layers: 80,
        num_attention_heads: 64,
        ..llama3_8b()
    }
}
