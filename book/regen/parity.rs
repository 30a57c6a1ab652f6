//! Eight steps on SmolLM2, PEFT's losses beside ours.

use std::fmt::Write;
use std::path::Path;

use adapter::Adapter;
use anyhow::{Context, Result};
use lowrank_tests::eight_steps::{self, EightSteps};
use lowrank_tests::golden_json;
use serde_json::Value;

use book::Page;

pub fn pages(path: &Path) -> Result<Vec<Page>> {
    let lora = losses(eight_steps::lora(path)?)?;
    let mut alone = String::from("| step | PEFT | ours |\n|--:|--:|--:|\n");
    for (step, [peft, ours]) in lora.iter().enumerate() {
        writeln!(alone, "| {step} | {peft:.4} | {ours:.4} |")?;
    }

    let methods = [
        ("LoRA", lora),
        ("LoRA-FA", losses(eight_steps::lora_fa(path)?)?),
        ("LoRA+", losses(eight_steps::lora_plus(path)?)?),
        ("DoRA", losses(eight_steps::dora(path)?)?),
        ("VeRA", losses(eight_steps::vera(path)?)?),
    ];
    let mut all = String::from("| step |");
    for (name, _) in &methods {
        write!(all, " {name}: PEFT | ours |")?;
    }
    writeln!(all, "\n|--:|{}", "--:|--:|".repeat(methods.len()))?;
    for step in 0..8 {
        write!(all, "| {step} |")?;
        for (_, losses) in &methods {
            let [peft, ours] = losses[step];
            write!(all, " {peft:.4} | {ours:.4} |")?;
        }
        writeln!(all)?;
    }
    Ok(vec![
        Page::rounded("smollm2-eight-steps.md", alone),
        Page::rounded("smollm2-eight-steps-all.md", all),
        Page::exact("lora-fa-bf16.md", bf16()?),
    ])
}

/// The losses of the steps, PEFT's and ours.
fn losses<A: Adapter<f32>>(mut run: EightSteps<f32, A>) -> Result<Vec<[f64; 2]>> {
    let peft = run.golden["losses"].as_array().context("the golden file has no losses")?.clone();
    peft.iter().map(|peft| Ok([number(peft)?, run.step()?.loss])).collect()
}

/// What PEFT's bf16 autocast does to LoRA-FA: PEFT against itself, from the golden file.
fn bf16() -> Result<String> {
    let golden = golden_json("smollm2_lora_fa.json");
    let shipped = &golden["bf16_autocast"];
    let mut table = String::from("| | relative deviation |\n|---|--:|\n");
    for (key, what) in [
        ("first_exp_avg", "m after the first step"),
        ("first_exp_avg_sq", "v after the first step"),
        ("last_exp_avg", "m after the eighth"),
        ("last_exp_avg_sq", "v after the eighth"),
        ("final_b", "B after the eighth"),
    ] {
        writeln!(table, "| {what} | {:.1e} |", number(&shipped["deviation"][key])?)?;
    }
    let [with, without] = [shipped, &golden].map(|run| number(&run["loss_after_last_step"]));
    let (with, without) = (with?, without?);
    writeln!(table, "| loss after the eighth | {:.1e} |", (with - without).abs() / without)?;
    Ok(table)
}

fn number(value: &Value) -> Result<f64> {
    value.as_f64().context("not a number")
}
