//! A model small enough to ship, and a task whose answers are right or wrong.
//!
//! The model reads eight digits and a `>`, and writes the digits sorted. It was made from nothing by
//! `cargo xtask pretrain` with this crate's own training code. Fine-tuning teaches it to sort the other way round.

use std::collections::BTreeMap;

use adapter::Real;
use rand::Rng;
use serde_json::{Map, Value, json};

use crate::data::Example;
use crate::{Config, Error, Llama, Result, Variant};

/// Digits in a problem.
pub const DIGITS: usize = 8;
/// The token between a problem and its answer; the digits are their own tokens.
pub const ARROW: u32 = 10;

/// What to do with the digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Smallest first: what the model is made for.
    Ascending,
    /// Largest first: what it is fine-tuned to.
    Descending,
}

impl Task {
    /// A problem and its answer: eight digits, [`ARROW`], eight digits.
    pub fn example(self, rng: &mut impl Rng) -> Example {
        let problem: [u32; DIGITS] = std::array::from_fn(|_| rng.random_range(0..10));
        let mut answer = problem;
        answer.sort_unstable();
        if self == Self::Descending {
            answer.reverse();
        }
        let tokens = problem.into_iter().chain([ARROW]).chain(answer).collect();
        Example::new(tokens, DIGITS + 1)
    }

    /// Many problems with their answers.
    pub fn examples(self, count: usize, rng: &mut impl Rng) -> Vec<Example> {
        (0..count).map(|_| self.example(rng)).collect()
    }
}

/// The shape of the shipped model: 306,336 parameters.
pub fn config() -> Config {
    Config {
        vocab_size: 16,
        hidden_size: 96,
        intermediate_size: 256,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 24,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        max_position_embeddings: 64,
        tie_word_embeddings: true,
        variant: Variant::default(),
    }
}

/// The tokens of a text of digits and `>`.
///
/// # Errors
/// Another character, which is named.
pub fn encode(text: &str) -> Result<Vec<u32>> {
    let token = |c: char| match c {
        '>' => Ok(ARROW),
        _ => c.to_digit(10).ok_or_else(|| {
            Error::Data(format!("{c:?} is unknown to the embedded model: it reads digits and '>'"))
        }),
    };
    text.chars().filter(|c| !c.is_whitespace()).map(token).collect()
}

/// The text of tokens; those the model never saw in training are shown as `?`.
pub fn decode(tokens: &[u32]) -> String {
    let character = |&token: &u32| match token {
        ARROW => '>',
        _ => char::from_digit(token, 10).unwrap_or('?'),
    };
    tokens.iter().map(character).collect()
}

/// What belongs beside the shipped model's weights in a Hugging Face folder: a `tokenizer.json` that reads and writes
/// texts as [`encode`] and [`decode`] do.
pub fn files() -> BTreeMap<String, Vec<u8>> {
    let name = |token: u32| match token {
        ARROW => ">".to_owned(),
        0..10 => token.to_string(),
        _ => format!("<unused{token}>"),
    };
    let vocabulary: Map<String, Value> =
        (0..config().vocab_size as u32).map(|token| (name(token), json!(token))).collect();
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {"type": "Replace", "pattern": {"Regex": "\\s"}, "content": ""},
        "pre_tokenizer":
            {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": false},
        "decoder": {"type": "Fuse"},
        // A character that is not in the vocabulary is an error, since there is no such token.
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unknown>"},
    });
    let config = json!({"tokenizer_class": "PreTrainedTokenizerFast"});
    let text = |json: &Value| serde_json::to_vec_pretty(json).expect("plain data");
    [("tokenizer.json", text(&tokenizer)), ("tokenizer_config.json", text(&config))]
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .into()
}

/// The shipped model.
///
/// # Errors
/// Never, unless the file in the repository was changed by hand.
pub fn model<T: Real>() -> Result<Llama<T>> {
    crate::embedded::read(include_bytes!("../assets/tiny.safetensors"))
}
