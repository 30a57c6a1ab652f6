//! What GGUF's types cost in bits, and the same run beside SmolLM2 in three of them.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use indicatif::{BinaryBytes, ProgressBar};
use llama::load::{block_types, load};
use llama::{Llama, Projection};
use lowrank_tests::eight_steps;
use lowrank_tests::quantise::{FileType, quantise};
use picture::{Bars, Chart, Line, Panel, figure};
use serde::{Deserialize, Serialize};

use crate::recorded::{self, Again};
use book::Page;

/// The first of the 192: eight steps of a third of the length show the same.
const TOKENS: usize = 64;

/// Written and read most quickly; the tests train beside the smallest.
const SAMPLE: FileType = FileType::Q8_0;

pub fn types() -> Result<Vec<Page>> {
    let mut rows: Vec<_> = block_types()
        .map(|blocks| {
            let bits = 8.0 * blocks.bytes as f64 / blocks.numbers as f64;
            (blocks.name, blocks.numbers, blocks.bytes, bits)
        })
        .collect();
    rows.sort_by(|a, b| b.3.total_cmp(&a.3));
    let bars = Bars {
        title: "Bits a number".into(),
        names: ["f32", "bf16"]
            .map(str::to_owned)
            .into_iter()
            .chain(rows.iter().map(|row| row.0.to_owned()))
            .collect(),
        panels: vec![Panel {
            title: String::new(),
            values: [32.0, 16.0]
                .into_iter()
                .chain(rows.iter().map(|row| row.3))
                .map(|bits| (bits, bits.to_string()))
                .collect(),
        }],
    };
    let caption = "Bits that a number takes in each type, beside those of plain numbers. A type named after four bits takes more than four: scales, and in some types minima, are stored \
                   beside the numbers. A bar with a cut is longer than the picture. \
                   Drawn by <code>cargo xtask regen</code>.";
    let mut table =
        String::from("| type | numbers in a block | bytes | bits a number |\n|---|--:|--:|--:|\n");
    for (name, numbers, bytes, bits) in rows {
        writeln!(table, "| {name} | {numbers} | {bytes} | {bits} |")?;
    }
    Ok(vec![
        Page::exact("quantised-types.md", table),
        Page::exact("quantised-types.svg.html", figure("charts", &[bars.draw("types")], caption)),
        Page::rounded("quantised-block.svg.html", block()),
    ])
}

/// The chapter's eight numbers, and what is read back of them.
fn block() -> String {
    let x = [0.31, -1.2, 0.7, 0.0, 2.1, -0.4, 1.0, -2.4_f64];
    let d = -2.4 / -8.0;
    let read = x.map(|x| d * (x / d).round());
    // Three times as fine a step for the same bits, if the largest number were not there.
    let smaller = 0.1;
    let near = x.map(|x| (smaller * (x / smaller).round()).clamp(-8.0 * smaller, 7.0 * smaller));
    let line = |name: &str, numbers: [f64; 8]| Line {
        name: name.into(),
        points: numbers.iter().enumerate().map(|(i, x)| (i as f64 + 1.0, *x)).collect(),
    };
    let chart = Chart {
        title: "Eight numbers in four bits each".into(),
        axes: ["place in the block".into(), "value".into()],
        ranges: [1.0..8.0, -2.6..2.4],
        log: false,
        square: false,
        lines: vec![line("x", x), line("read back", read), line("smaller d", near)],
    };
    let caption = "The numbers, what is read back with d = 0.3, and what would be read back with d = 0.1. The smaller step is nearer for small numbers and cuts off the large \
                   ones: the largest number of a block decides for all.";
    book::figure::figure("quantised-block", caption, &[chart])
}

/// The runs, a line each.
const RUNS: &str = "quantised-runs.jsonl";

/// Eight steps beside the model in one type of file.
#[derive(Serialize, Deserialize)]
struct Run {
    file: String,
    /// Of the file, and of the numbers that are made of it.
    bytes: [u64; 2],
    /// ‖Ŵ − W‖/‖W‖ of the projections.
    distance: f64,
    first_loss: f64,
    last_loss: f64,
}

/// A check makes one of the files again.
pub fn runs(source: &Path, again: Again) -> Result<Vec<Page>> {
    let types = match again {
        Again::All => FileType::ALL.to_vec(),
        Again::Sample => vec![SAMPLE],
        Again::None => Vec::new(),
    };
    let folder = std::env::temp_dir().join(format!("lowrank-quantised-{}", std::process::id()));
    std::fs::create_dir_all(&folder).context("no folder for temporary files")?;
    let made = make(source, &types, &folder.join("model.gguf"));
    std::fs::remove_dir_all(&folder).context("the temporary files stay")?;
    let runs = recorded::complete(RUNS, made?, again, |a: &Run, b| a.file == b.file)?;
    let mut table = String::from(
        "| file | its size | numbers in memory | $\\lVert \\hat W - W \\rVert / \\lVert W \\rVert$ | first loss | after 8 steps |\n\
         |---|--:|--:|--:|--:|--:|\n",
    );
    for Run { file, bytes: [size, held], distance, first_loss, last_loss } in &runs {
        let (size, held, distance) = (BinaryBytes(*size), BinaryBytes(*held), 100.0 * distance);
        writeln!(
            table,
            "| {file} | {size} | {held} | {distance:.2}% | {first_loss:.3} | {last_loss:.3} |"
        )?;
    }
    Ok(vec![Page::rounded(RUNS, recorded::text(&runs)?), Page::rounded("quantised-runs.md", table)])
}

fn make(source: &Path, types: &[FileType], path: &Path) -> Result<Vec<Run>> {
    if types.is_empty() {
        return Ok(Vec::new());
    }
    let exact = load::<f32>(source)?.model;
    let bar = ProgressBar::new(types.len() as u64);
    let one = |&file_type: &FileType| {
        quantise(source, file_type, path).context("cannot write the model in another type")?;
        let size = std::fs::metadata(path)?.len();
        let mut run = eight_steps::lora::<f32>(path)?;
        run.tokens.truncate(TOKENS);
        let model = &run.trainer.model;
        let (distance, held) = (distance(model, &exact), 4 * model.parameters() as u64);
        let losses = (0..9).map(|_| Ok(run.step()?.loss)).collect::<Result<Vec<f64>>>()?;
        bar.inc(1);
        Ok(Run {
            file: format!("{file_type:?}"),
            bytes: [size, held],
            distance: recorded::six_digits(distance),
            first_loss: recorded::six_digits(losses[0]),
            last_loss: recorded::six_digits(losses[8]),
        })
    };
    let runs = types.iter().map(one).collect();
    bar.finish_and_clear();
    runs
}

/// The seven projections of every layer.
fn matrices(model: &Llama<f32>) -> impl Iterator<Item = &ndarray::Array2<f32>> {
    let of = |layer| Projection::ALL.map(|projection| llama::Layer::weight(layer, projection));
    model.layers.iter().flat_map(of)
}

/// How far the projections are from what they were, relatively.
fn distance(model: &Llama<f32>, exact: &Llama<f32>) -> f64 {
    let (mut difference, mut whole) = (0.0, 0.0);
    for (rounded, exact) in matrices(model).zip(matrices(exact)) {
        for (&rounded, &exact) in rounded.iter().zip(exact) {
            difference += f64::from(rounded - exact).powi(2);
            whole += f64::from(exact).powi(2);
        }
    }
    f64::sqrt(difference / whole)
}
