//! A GGUF file, versions 2 and 3: llama.cpp's format, weights, configuration and tokenizer in one.

mod file;
mod problem;
mod source;

use std::collections::BTreeSet;

use adapter::Real;
use tensor_file::StorageDtype;

pub(super) use self::file::Gguf;
use self::problem::{Outcome, wrong};
use super::dequantise::Format;
use crate::error::bad;
use crate::{Config, Llama, Llama3Scaling, Result};

impl Gguf {
    /// What the matrices are stored as; F32 if they differ, or are in blocks.
    pub fn storage_dtype(&self) -> StorageDtype {
        let matrices = self.tensors.values().filter(|tensor| tensor.shape.len() > 1);
        let mut dtypes = matrices.map(|tensor| match tensor.format {
            Format::Plain(dtype) => Some(dtype),
            Format::Blocks(_) => None,
        });
        let first = dtypes.next().flatten();
        first.filter(|_| dtypes.all(|dtype| dtype == first)).unwrap_or(StorageDtype::F32)
    }

    /// Build the model.
    ///
    /// # Errors
    /// It is not a Llama, or a number or a tensor is missing or wrong.
    pub fn model<T: Real>(&mut self) -> Result<Llama<T>> {
        let mut config = self.config().map_err(|problem| problem.at(&self.path))?;
        config.validate().map_err(|error| error.in_file(&self.path))?;
        let mut left: BTreeSet<String> = self.tensors.keys().cloned().collect();
        if left.remove(ROPE_FACTORS) {
            let factors = self.read::<f64>(ROPE_FACTORS, &[config.head_dim / 2])?;
            config.rope_scaling =
                llama3_scaling(&config, &factors).map_err(|problem| problem.at(&self.path))?;
        }
        let (heads, key_heads) = (config.num_attention_heads, config.num_key_value_heads);
        let model = Llama::build(config, |name, shape| {
            let stored = stored_name(name);
            left.remove(&stored);
            let values = self.read(&stored, shape)?;
            Ok(match stored.rsplit('.').nth(1) {
                Some("attn_q") => rotate_halves(&values, heads, shape[1]),
                Some("attn_k") => rotate_halves(&values, key_heads, shape[1]),
                _ => values,
            })
        })?;
        match left.into_iter().next() {
            // A tensor that is not read is a part of the model that is not computed.
            Some(name) => Err(bad(&self.path, format!("{name} is no tensor of this architecture"))),
            None => Ok(model),
        }
    }

    /// The tokenizer, if there is one.
    #[cfg(feature = "tokenizer")]
    pub fn tokenizer(&mut self) -> Result<Option<crate::Tokenizer>> {
        if !self.metadata.contains_key("tokenizer.ggml.model") {
            return Ok(None);
        }
        let vocabulary = self.vocabulary().map_err(|problem| problem.at(&self.path))?;
        let tokenizer = crate::Tokenizer::from_vocabulary(vocabulary);
        tokenizer.map(Some).map_err(|error| error.in_file(&self.path))
    }

    #[cfg(feature = "tokenizer")]
    fn vocabulary(&mut self) -> Outcome<crate::tokenizer::Vocabulary> {
        let key = |name: &str| format!("tokenizer.ggml.{name}");
        let mut ids = std::collections::BTreeMap::new();
        for name in ["bos", "eos", "eot", "eom", "unknown", "padding"] {
            if let Some(id) = self.optional_size(&key(&format!("{name}_token_id")))? {
                let id = u32::try_from(id).map_err(|_| format!("{name}_token_id is {id}"))?;
                ids.insert(name, id);
            }
        }
        Ok(crate::tokenizer::Vocabulary {
            model: self.text(&key("model"))?.unwrap_or_default(),
            pre: self.text(&key("pre"))?,
            tokens: self.strings(&key("tokens"))?.ok_or("tokenizer.ggml.tokens is missing")?,
            scores: self.numbers(&key("scores"))?,
            types: self.numbers(&key("token_type"))?,
            merges: self.strings(&key("merges"))?,
            ids,
            add_bos: self.flag(&key("add_bos_token"))?,
            add_eos: self.flag(&key("add_eos_token"))?,
            add_space_prefix: self.flag(&key("add_space_prefix"))?,
            chat_template: self.text("tokenizer.chat_template")?,
        })
    }

    /// The configuration, by llama.cpp's names.
    fn config(&self) -> Outcome<Config> {
        match self.text("general.architecture")?.as_deref() {
            Some("llama") => {}
            Some(name) => {
                return wrong(format!("architecture {name:?} is unknown: only \"llama\" is read"));
            }
            None => return Err("general.architecture is missing".into()),
        }
        let size = |name: &str| {
            let key = format!("llama.{name}");
            self.optional_size(&key)?.map_or_else(|| wrong(format!("{key} is missing")), Ok)
        };
        let optional = |name: &str| self.optional_size(&format!("llama.{name}"));
        if optional("expert_count")?.is_some_and(|count| count > 0) {
            return Err("llama.expert_count is not 0: mixtures of experts are not read".into());
        }
        match self.text("llama.rope.scaling.type")?.as_deref() {
            None | Some("none") => {}
            Some(kind) => {
                return wrong(format!("llama.rope.scaling.type {kind:?} is not computed"));
            }
        }
        let hidden_size = size("embedding_length")?;
        let heads = size("attention.head_count")?;
        let head_dim = match optional("attention.key_length")? {
            Some(head_dim) => head_dim,
            None if heads > 0 && hidden_size.is_multiple_of(heads) => hidden_size / heads,
            None => {
                return wrong(format!(
                    "llama.embedding_length is {hidden_size}, not a multiple of llama.attention.head_count, {heads}"
                ));
            }
        };
        for name in ["attention.value_length", "rope.dimension_count"] {
            if let Some(other) = optional(name)?.filter(|&other| other != head_dim) {
                return wrong(format!(
                    "llama.{name} is {other} and the width of a head {head_dim}: they must be equal"
                ));
            }
        }
        let embedding = self
            .tensors
            .get("token_embd.weight")
            .ok_or("the tensor token_embd.weight is missing")?;
        Ok(Config {
            vocab_size: *embedding.shape.first().ok_or("token_embd.weight is a single number")?,
            hidden_size,
            intermediate_size: size("feed_forward_length")?,
            num_hidden_layers: size("block_count")?,
            num_attention_heads: heads,
            num_key_value_heads: optional("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            rms_norm_eps: self
                .float("llama.attention.layer_norm_rms_epsilon")?
                .ok_or("llama.attention.layer_norm_rms_epsilon is missing")?,
            rope_theta: self.float("llama.rope.freq_base")?.unwrap_or(10_000.0),
            rope_scaling: None,
            max_position_embeddings: optional("context_length")?.unwrap_or(2048),
            tie_word_embeddings: !self.tensors.contains_key("output.weight"),
        })
    }
}

const ROPE_FACTORS: &str = "rope_freqs.weight";

/// llama.cpp's name for a tensor, from Hugging Face's.
fn stored_name(name: &str) -> String {
    const MODULES: [(&str, &str); 12] = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("input_layernorm", "attn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("post_attention_layernorm", "ffn_norm"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    let module = name.strip_suffix(".weight").unwrap_or(name);
    let (block, module) = match module.strip_prefix("model.layers.").and_then(|m| m.split_once('.'))
    {
        Some((layer, module)) => (format!("blk.{layer}."), module),
        None => (String::new(), module),
    };
    let stored =
        MODULES.iter().find(|(theirs, _)| *theirs == module).map_or(module, |(_, ours)| ours);
    format!("{block}{stored}.weight")
}

/// Put the rows of q or k back where Hugging Face has them.
///
/// RoPE turns pairs of rows of a head. llama.cpp stores the two rows of pair i next to each other, 2i and 2i + 1;
/// Hugging Face half a head apart, i and i + head_dim / 2.
fn rotate_halves<T: Copy>(values: &[T], heads: usize, width: usize) -> Vec<T> {
    let half = values.len() / width / heads / 2;
    let mut rows = Vec::with_capacity(values.len());
    for head in values.chunks_exact(2 * half * width) {
        for second in 0..2 {
            for pair in head.chunks_exact(2 * width) {
                rows.extend_from_slice(&pair[second * width..][..width]);
            }
        }
    }
    rows
}

/// The Llama 3 scaling whose divisors of the frequencies are `factors`.
///
/// A GGUF file holds the divisors, not the four numbers they come from. Every published model has the same three of
/// them, and the largest divisor is the fourth.
fn llama3_scaling(config: &Config, factors: &[f64]) -> Outcome<Option<Llama3Scaling>> {
    let factor = factors.iter().copied().fold(1.0, f64::max);
    if factors.iter().all(|&factor| factor == 1.0) {
        return Ok(None);
    }
    let scaling = Llama3Scaling {
        factor,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    let plain = config.frequencies();
    let scaled = Config { rope_scaling: Some(scaling), ..config.clone() }.frequencies();
    let same = |((plain, scaled), factor): ((&f64, &f64), &f64)| {
        // The file's f32 were computed in f32, so several roundings apart.
        (plain / scaled / factor - 1.0).abs() <= 1e-5
    };
    match plain.iter().zip(&scaled).zip(factors).all(same) {
        true => Ok(Some(scaling)),
        false => wrong(format!(
            "{ROPE_FACTORS} is not the RoPE scaling of Llama 3: give the Hugging Face folder"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_return_to_where_llama_cpp_took_them_from() {
        // Two heads of four rows of width 2. llama.cpp's converter: reshape (heads, 2, rows/2), swap the last two.
        let original: Vec<u32> = (0..16).collect();
        let row = |r: usize| &original[2 * r..2 * r + 2];
        let stored: Vec<u32> =
            [0, 2, 1, 3, 4, 6, 5, 7].into_iter().flat_map(row).copied().collect();
        assert_eq!(rotate_halves(&stored, 2, 2), original);
    }

    #[test]
    fn the_divisors_of_llama_3_are_recognised() {
        let scaling = Llama3Scaling {
            factor: 32.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        let plain =
            Config { head_dim: 64, rope_theta: 5e5, rope_scaling: None, ..crate::tiny::config() };
        let scaled = Config { rope_scaling: Some(scaling), ..plain.clone() }.frequencies();
        let mut factors: Vec<f64> =
            plain.frequencies().iter().zip(scaled).map(|(plain, scaled)| plain / scaled).collect();
        assert_eq!(llama3_scaling(&plain, &factors).unwrap(), Some(scaling));
        factors[16] *= 1.01;
        assert!(llama3_scaling(&plain, &factors).is_err());
        assert_eq!(llama3_scaling(&plain, &[1.0; 32]).unwrap(), None);
    }
}
