//! What training keeps in memory, counted from shapes.

use std::fmt::Write;

use anyhow::Result;
use indicatif::{BinaryBytes, HumanCount};
use llama::{Config, Projection};
use picture::{Bars, Panel, figure};

use crate::Page;

/// bf16 weights and gradients, and in f32 a copy of the weights and Adam's two moments.
const TRAINED: usize = 2 + 2 + 4 + 4 + 4;
const FROZEN: usize = 2;
const RANK: usize = 8;

/// The table of the first chapter.
///
/// # Errors
/// None in practice: writing into a string cannot fail.
pub fn pages() -> Result<Vec<Page>> {
    let mut table = String::from(
        "| model | numbers | trained by LoRA | | full | LoRA |\n|---|--:|--:|--:|--:|--:|\n",
    );
    let mut panels = Vec::new();
    for (name, config) in [("SmolLM2-135M", smollm2()), ("Llama-2-7B", llama2_7b())] {
        let all = parameters(&config);
        let lora = lora_parameters(&config);
        let share = 100.0 * lora as f64 / all as f64;
        let bytes = [TRAINED * all, FROZEN * all + TRAINED * lora];
        let [full, beside] = bytes.map(|count| BinaryBytes(count as u64).to_string());
        writeln!(
            table,
            "| {name} | {} | {} | {share:.2}% | {full} | {beside} |",
            HumanCount(all as u64),
            HumanCount(lora as u64),
        )?;
        let values = vec![(bytes[0] as f64, full), (bytes[1] as f64, beside)];
        panels.push(Panel { title: name.to_owned(), values });
    }
    let bars = Bars {
        title: "Weights, gradients and Adam's state".into(),
        names: vec!["full".into(), "LoRA".into()],
        panels,
    };
    let caption = "Memory to train a model, without activations: full fine-tuning pays for a gradient, a precise copy and two averages of every \
                   number, LoRA of next to none. Each panel has its own scale. Drawn by <code>cargo xtask regen</code>.";
    Ok(vec![
        Page::exact("costs.md", table),
        Page::exact("costs.svg.html", figure("charts", &[bars.draw("costs")], caption)),
    ])
}

fn parameters(config: &Config) -> usize {
    let embedding = config.vocab_size * config.hidden_size;
    let matrices = if config.tie_word_embeddings { 1 } else { 2 };
    let projections: usize = Projection::ALL
        .iter()
        .map(|projection| projection.shape(config).iter().product::<usize>())
        .sum();
    let layer = projections + 2 * config.hidden_size;
    matrices * embedding + config.num_hidden_layers * layer + config.hidden_size
}

/// On the queries and values of every layer.
fn lora_parameters(config: &Config) -> usize {
    let layer: usize = [Projection::Q, Projection::V]
        .iter()
        .map(|projection| RANK * projection.shape(config).iter().sum::<usize>())
        .sum();
    config.num_hidden_layers * layer
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_sizes() {
        assert_eq!(parameters(&smollm2()), 134_515_008);
        assert_eq!(parameters(&llama2_7b()), 6_738_415_616);
        let tiny = llama::tiny::model::<f32>().unwrap();
        assert_eq!(parameters(&tiny.config), tiny.parameters());
        // PEFT's count, in tests/golden/smollm2_lora.json.
        assert_eq!(lora_parameters(&smollm2()), 460_800);
    }
}
