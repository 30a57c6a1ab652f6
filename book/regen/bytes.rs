//! What one step of each method on the embedded model holds in memory, counted from its arrays.

use std::fmt::Write;

use anyhow::{Context, Result};
use finetune::{Data, Plan, Record, Sweep};
use indicatif::{BinaryBytes, HumanCount};
use llama::tiny;
use methods::{Method, Row};
use picture::{Bars, Panel};

use crate::side_by_side::COMPARED;
use book::Page;

/// Of one step in f32: as many on every machine.
pub fn pages() -> Result<Vec<Page>> {
    let (terms, sweep, rows) =
        (Plan::embedded(Method::Lora, f64::NAN), Sweep::embedded(), Row::all());
    let model = tiny::model::<f32>()?;
    let mut records = Vec::new();
    for row in &rows {
        let lr = sweep.rate(row).context("the committed sweep has every method")?;
        let plan = Plan { steps: 1, ..terms.of_row(row, lr, 0) };
        let mut data = Data::embedded(&plan, Some(0))?;
        data.held_out.truncate(1);
        records.push(finetune::run(&plan, &model, &data, &COMPARED, &mut |_| {})?);
    }
    Ok(vec![
        Page::exact("side-by-side-bytes.md", bytes_table(&rows, &records)?),
        Page::exact("side-by-side-bytes.svg.html", bytes_figure(&rows, &records)),
    ])
}

fn bytes_table(rows: &[Row], records: &[Record]) -> Result<String> {
    let mut table = String::from(
        "| | trained | weights | gradients | optimiser | saved for backward | by the adapters |\n\
         |---|--:|--:|--:|--:|--:|--:|\n",
    );
    for (row, record) in rows.iter().zip(records) {
        write!(table, "| {} | {} |", row.label, HumanCount(record.trainable as u64))?;
        for bytes in record.bytes.values().into_iter().chain([record.adapter_saved_bytes]) {
            // A number and its unit on one line.
            write!(table, " {} |", BinaryBytes(bytes as u64).to_string().replace(' ', "\u{a0}"))?;
        }
        writeln!(table)?;
    }
    Ok(table)
}

/// What differs from method to method, apart from what does not.
fn bytes_figure(rows: &[Row], records: &[Record]) -> String {
    let panel = |title: &str, bytes: &dyn Fn(&Record) -> usize| {
        let value = |record| (bytes(record) as f64, BinaryBytes(bytes(record) as u64).to_string());
        Panel { title: title.into(), values: records.iter().map(value).collect() }
    };
    let bars = |title: &str, panels| {
        let names = rows.iter().map(|row| row.label.into()).collect();
        Bars { title: title.into(), names, panels }
    };
    let follows = bars(
        "What follows the trained numbers",
        vec![
            panel("gradients", &|record| record.bytes.gradients),
            panel("optimiser", &|record| record.bytes.optimizer),
        ],
    );
    let saved = bars(
        "What is saved for the backward pass",
        vec![
            panel("by the adapters", &|record| record.adapter_saved_bytes),
            panel("by the model", &|record| record.bytes.saved - record.adapter_saved_bytes),
        ],
    );
    let caption = "A step of the tiny model. Each panel has its own scale, and a bar with a cut is longer than the panel. All methods but full fine-tuning have \
                   next to no gradients and averages, and only LoRA-FA saves little in its adapters. Drawn by <code>cargo xtask regen</code>.";
    picture::figure("charts", &[follows.draw("bytes-trained"), saved.draw("bytes-saved")], caption)
}
