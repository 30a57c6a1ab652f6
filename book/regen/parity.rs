//! Eight LoRA steps on SmolLM2, PEFT's losses beside ours.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use llama::Batch;
use lowrank_tests::{eight_steps, golden_json};

use crate::Page;

pub fn pages(path: &Path) -> Result<Vec<Page>> {
    let golden = golden_json("smollm2_lora.json");
    let losses = golden["losses"].as_array().context("the golden file has no losses")?;
    let (mut trainer, tokens) = eight_steps(path);
    let mut table = String::from("| step | PEFT | ours |\n|--:|--:|--:|\n");
    for (step, peft) in losses.iter().enumerate() {
        let report = trainer.step(&[Batch::next_token([&tokens[..]])?])?;
        let peft = peft.as_f64().context("a loss is a number")?;
        writeln!(table, "| {step} | {peft:.4} | {:.4} |", report.loss)?;
    }
    Ok(vec![Page::rounded("smollm2-eight-steps.md", table)])
}
