//! Where llama.cpp has what Hugging Face's checkpoints have: the tensors' names, and the order of rows.

use crate::Norms;

/// llama.cpp's name for a weight or a bias, from Hugging Face's.
pub fn stored_name(name: &str, norms: Norms) -> String {
    const MODULES: [(&str, &str); 18] = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("input_layernorm", "attn_norm"),
        ("self_attn.qkv_proj", "attn_qkv"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.q_norm", "attn_q_norm"),
        ("self_attn.k_norm", "attn_k_norm"),
        ("post_attention_layernorm", "post_attention_norm"),
        ("pre_feedforward_layernorm", "ffn_norm"),
        ("post_feedforward_layernorm", "post_ffw_norm"),
        ("mlp.gate_up_proj", "ffn_up"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    let (module, kind) = name.rsplit_once('.').unwrap_or((name, "weight"));
    let (block, module) = match module.strip_prefix("model.layers.").and_then(|m| m.split_once('.'))
    {
        Some((layer, module)) => (format!("blk.{layer}."), module),
        None => (String::new(), module),
    };
    let module = match (module, norms) {
        // By this name it is the norm before the MLP, unless there are norms after attention.
        ("post_attention_layernorm", Norms::Before) => "pre_feedforward_layernorm",
        _ => module,
    };
    let stored =
        MODULES.iter().find(|(theirs, _)| *theirs == module).map_or(module, |(_, ours)| ours);
    format!("{block}{stored}.{kind}")
}

/// Put the rows of q or k back where Hugging Face has them: a matrix, or a bias.
///
/// RoPE turns pairs of rows of a head. llama.cpp stores the two rows of pair i next to each other, 2i and 2i + 1;
/// Hugging Face half a head apart, i and i + head_dim / 2.
pub fn rotate_halves<T: Copy>(values: &[T], heads: usize, head_dim: usize) -> Vec<T> {
    let width = values.len() / (heads * head_dim);
    let mut rows = Vec::with_capacity(values.len());
    for head in values.chunks_exact(head_dim * width) {
        for second in 0..2 {
            for pair in head.chunks_exact(2 * width) {
                rows.extend_from_slice(&pair[second * width..][..width]);
            }
        }
    }
    rows
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
        assert_eq!(rotate_halves(&stored, 2, 4), original);
    }
}
