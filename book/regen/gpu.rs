//! "On the GPU": the roofline, and what the emulated device was judged to be.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Result, bail};
use cuda::{Element, Emulator, Tf32, bf16};
use lowrank_tests::gpu::Tally;
use oracle::{TensorFile, cases_under};

use book::Page;

/// Measured on one H200, bf16: a product of 8192³, in FLOP/s, and a copy, in bytes/s.
const FLOPS: f64 = 790e12;
const BANDWIDTH: f64 = 4.3e12;
const BYTES: f64 = 2.0;

/// Passes over arrays of tokens × in and of tokens × out that each way adds to the two base products.
const VARIANTS: [(&str, f64, f64); 7] = [
    ("PEFT, op by op", 6.0, 10.0),
    ("the same, compiled", 4.0, 8.0),
    ("base product first, thin one added", 4.0, 4.0),
    ("**thin product first, base one added**", 3.0, 3.0),
    ("one product \\[x, s h\\] \\[W, B\\]ᵀ", 2.0, 2.0),
    ("fused across the layer", 2.0, 1.0),
    ("floor: x read once more, for ∂L/∂A", 1.0, 0.0),
];

pub fn roofline() -> Result<Vec<Page>> {
    let mut flop = String::from("| r | extra FLOP, 4096² |\n|--:|--:|\n");
    for rank in [8.0, 16.0, 64.0, 256.0] {
        // 6 T r (k + m) beside 4 T m k.
        writeln!(flop, "| {rank} | {:.1} % |", 150.0 * rank * (2.0 / 4096.0))?;
    }
    let mut table = String::from(
        "| | passes | extra time, 8192 tokens, 4096² | 14336 × 4096 |\n|---|--:|--:|--:|\n",
    );
    for (name, inputs, outputs) in VARIANTS {
        let extra = |tokens: f64, out: f64, fan_in: f64| {
            let base = 4.0 * tokens * out * fan_in / FLOPS;
            let bytes = BYTES * tokens * (inputs * fan_in + outputs * out);
            100.0 * bytes / BANDWIDTH / base
        };
        let (square, wide) = (extra(8192.0, 4096.0, 4096.0), extra(8192.0, 14336.0, 4096.0));
        writeln!(
            table,
            "| {name} | {inputs}\u{a0}in\u{a0}+\u{a0}{outputs}\u{a0}out | {square:.0} % | {wide:.0} % |"
        )?;
    }
    Ok(vec![Page::exact("gpu-flop.md", flop), Page::exact("gpu-roofline.md", table)])
}

pub fn emulated() -> Result<Vec<Page>> {
    let device = Emulator::open()?;
    let mut table = String::from("| dtype | cases | largest ρ |\n|---|--:|--:|\n");
    row::<f64>(&device, &mut table)?;
    row::<f32>(&device, &mut table)?;
    row::<Tf32>(&device, &mut table)?;
    row::<bf16>(&device, &mut table)?;
    Ok(vec![Page::rounded("gpu-emulated.md", table)])
}

fn row<T: Element>(device: &Emulator, table: &mut String) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    let mut tally = Tally::default();
    for path in cases_under(&folder)? {
        tally.case::<T, _>(device, &TensorFile::read(&path)?)?;
    }
    let kind = T::KIND.name();
    let Some((rho, _)) = tally.worst.filter(|_| tally.failed.is_empty()) else {
        bail!("{} cases fail in {kind}", tally.failed.len());
    };
    writeln!(table, "| {kind} | {} | {rho:.2} |", tally.passed)?;
    Ok(())
}
