//! Eight steps on SmolLM2, PEFT's losses beside ours.

use std::fmt::Write;
use std::path::Path;

use adapter::Adapter;
use anyhow::{Context, Result};
use lowrank_tests::eight_steps::{self, EightSteps};
use lowrank_tests::golden_json;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::recorded::{self, Again};
use book::Page;

/// The runs, a line each.
const RUNS: &str = "smollm2-eight-steps.jsonl";

/// A method's losses, and whose they are beside.
#[derive(Serialize, Deserialize)]
struct Run {
    method: String,
    peft: Vec<f64>,
    ours: Vec<f64>,
}

/// A check makes LoRA's again. The tests run all of them, and hold them to PEFT's more closely than a page shows.
pub fn pages(path: &Path, again: Again) -> Result<Vec<Page>> {
    let mut made = Vec::new();
    if again != Again::None {
        made.push(run("LoRA", eight_steps::lora(path)?)?);
    }
    if again == Again::All {
        made.push(run("LoRA-FA", eight_steps::lora_fa(path)?)?);
        made.push(run("LoRA+", eight_steps::lora_plus(path)?)?);
        made.push(run("DoRA", eight_steps::dora(path)?)?);
        made.push(run("VeRA", eight_steps::vera(path)?)?);
    }
    let runs = recorded::complete(RUNS, made, again, |a: &Run, b| a.method == b.method)?;
    let lora = runs.first().context("LoRA comes first")?;
    let mut alone = String::from("| step | PEFT | ours |\n|--:|--:|--:|\n");
    for (step, (peft, ours)) in lora.peft.iter().zip(&lora.ours).enumerate() {
        writeln!(alone, "| {step} | {peft:.4} | {ours:.4} |")?;
    }
    let mut all = String::from("| step |");
    for Run { method, .. } in &runs {
        write!(all, " {method}: PEFT | ours |")?;
    }
    writeln!(all, "\n|--:|{}", "--:|--:|".repeat(runs.len()))?;
    for step in 0..8 {
        write!(all, "| {step} |")?;
        for Run { peft, ours, .. } in &runs {
            write!(all, " {:.4} | {:.4} |", peft[step], ours[step])?;
        }
        writeln!(all)?;
    }
    Ok(vec![
        Page::rounded(RUNS, recorded::text(&runs)?),
        Page::rounded("smollm2-eight-steps.md", alone),
        Page::rounded("smollm2-eight-steps-all.md", all),
        Page::exact("lora-fa-bf16.md", bf16()?),
    ])
}

fn run<A: Adapter<f32>>(method: &str, mut run: EightSteps<f32, A>) -> Result<Run> {
    let peft = run.golden["losses"].as_array().context("the golden file has no losses")?;
    let peft: Vec<f64> = peft.iter().map(number).collect::<Result<_>>()?;
    let ours = peft.iter().map(|_| Ok(recorded::six_digits(run.step()?.loss)));
    let ours = ours.collect::<Result<_>>()?;
    let peft = peft.into_iter().map(recorded::six_digits).collect();
    Ok(Run { method: method.to_owned(), peft, ours })
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
