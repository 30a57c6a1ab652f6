//! Every matrix of a model: its shape, and how large its entries are.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use indicatif::HumanCount;
use llama::load::load;
use llama::{Llama, Projection, tiny};
use ndarray::Array2;

use book::Page;

pub fn embedded() -> Result<Vec<Page>> {
    Ok(vec![Page::rounded("weights-tiny.md", table(&tiny::model()?)?)])
}

pub fn smollm2(path: &Path) -> Result<Vec<Page>> {
    Ok(vec![Page::rounded("weights-smollm2.md", table(&load::<f32>(path)?.model)?)])
}

fn table(model: &Llama<f32>) -> Result<String> {
    let mut table = String::from(
        "| matrix | `[out, in]` | how many | numbers | share | standard deviation | largest |\n\
         |---|---|--:|--:|--:|--:|--:|\n",
    );
    let all = model.parameters();
    let mut row = |name: &str, matrices: &[&Array2<f32>]| {
        let count: usize = matrices.iter().map(|matrix| matrix.len()).sum();
        let entries = || matrices.iter().flat_map(|matrix| matrix.iter().map(|&w| f64::from(w)));
        let mean = entries().sum::<f64>() / count as f64;
        let variance = entries().map(|w| (w - mean).powi(2)).sum::<f64>() / count as f64;
        let largest = entries().fold(0.0, |max: f64, w| max.max(w.abs()));
        let (out, inputs) = matrices[0].dim();
        writeln!(
            table,
            "| {name} | `[{out}, {inputs}]` | {} | {} | {:.1}% | {:.4} | {largest:.3} |",
            matrices.len(),
            HumanCount(count as u64),
            100.0 * count as f64 / all as f64,
            variance.sqrt(),
        )
    };
    row("embedding", &[&model.embedding])?;
    for projection in Projection::ALL {
        let matrices: Vec<_> = model.layers.iter().map(|layer| layer.weight(projection)).collect();
        row(&format!("`{projection}`"), &matrices)?;
    }
    Ok(table)
}
