//! What training keeps in memory, counted from shapes.

use std::fmt::Write;

use anyhow::Result;
use finetune::{Budget, Plan, Precision};
use indicatif::{BinaryBytes, HumanCount};
pub use live::shapes::{llama2_7b, smollm2};
use methods::Method;
use picture::{Bars, Panel, figure};

use crate::Page;

/// The table of the first chapter.
///
/// # Errors
/// None in practice: the methods take their own defaults.
pub fn pages() -> Result<Vec<Page>> {
    let mut table = String::from(
        "| model | numbers | trained by LoRA | | full | LoRA |\n|---|--:|--:|--:|--:|--:|\n",
    );
    let mut panels = Vec::new();
    for (name, config) in [("SmolLM2-135M", smollm2()), ("Llama-2-7B", llama2_7b())] {
        // Without a token: weights, gradients and Adam's two averages.
        let held = |method| Budget::of(&Plan::new(method), &config, &[], Precision::MIXED);
        let budgets = [held(Method::Full)?, held(Method::Lora)?];
        let [all, lora] = budgets.map(|budget| budget.trained);
        let share = 100.0 * lora as f64 / all as f64;
        let bytes = budgets.map(|budget| budget.total());
        let [full, beside] = bytes.map(|count| BinaryBytes(count).to_string());
        writeln!(
            table,
            "| {name} | {} | {} | {share:.2}% | {full} | {beside} |",
            HumanCount(all),
            HumanCount(lora),
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
