//! "On the GPU": the roofline, and what the emulated device was judged to be.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Result, bail};
use cuda::{Element, Emulator, Tf32, bf16};
use lowrank_tests::gpu::Tally;
use oracle::{TensorFile, cases_under};
use picture::{Bars, Panel, figure};

use book::Page;

/// Measured on one H200, bf16: a product of 8192³, in FLOP/s, and a copy, in bytes/s.
pub const FLOPS: f64 = 790e12;
pub const BANDWIDTH: f64 = 4.3e12;
pub const BYTES: f64 = 2.0;

/// Columns that a tile of a product sums over at once: a sum over a few more takes one tile more.
const TILE: f64 = 64.0;
pub const RANK: f64 = 16.0;

/// A way to compute the layer: the passes over arrays of tokens × in and of tokens × out that it adds to the two base products,
/// and whether these sum over r columns more.
pub const VARIANTS: [(&str, f64, f64, bool); 7] = [
    ("PEFT, op by op", 6.0, 10.0, false),
    ("the same, compiled", 4.0, 8.0, false),
    ("base product first, thin one added", 4.0, 4.0, false),
    ("thin product first, base one added", 3.0, 3.0, false),
    ("**one matrix**", 2.0, 2.0, true),
    ("one matrix, ∂h and ∂B from one read of ∂y", 2.0, 1.0, true),
    ("floor: x read once more, for ∂L/∂A", 1.0, 0.0, false),
];

/// Per cent of the time of the two base products, \[tokens, in\]·\[in, out\] and \[tokens, out\]·\[out, in\].
fn extra([tokens, out, fan_in]: [f64; 3], inputs: f64, outputs: f64, wider: bool) -> f64 {
    let base = 4.0 * tokens * out * fan_in / FLOPS;
    let bytes = BYTES * tokens * (inputs * fan_in + outputs * out);
    // Of one product: half of the time.
    let tiles =
        |summed: f64| (((summed + RANK) / TILE).ceil() / (summed / TILE).ceil() - 1.0) / 2.0;
    let wider = if wider { tiles(fan_in) + tiles(out) } else { 0.0 };
    100.0 * (bytes / BANDWIDTH / base + wider)
}

pub fn roofline() -> Result<Vec<Page>> {
    let (mut flop_bars, mut time_bars) = (Vec::new(), [Vec::new(), Vec::new()]);
    let mut flop = String::from("| r | extra FLOP, 4096² |\n|--:|--:|\n");
    for rank in [8.0, 16.0, 64.0, 256.0] {
        // 6 T r (k + m) beside 4 T m k.
        let extra = 150.0 * rank * (2.0 / 4096.0);
        writeln!(flop, "| {rank} | {extra:.1} % |")?;
        flop_bars.push((extra, format!("{extra:.1} %")));
    }
    let mut table = String::from(
        "| | passes | columns more | extra time, 8192 tokens, 4096² | 14336 × 4096 |\n|---|--:|--:|--:|--:|\n",
    );
    for (name, inputs, outputs, wider) in VARIANTS {
        let shapes = [[8192.0, 4096.0, 4096.0], [8192.0, 14336.0, 4096.0]];
        let [square, wide] = shapes.map(|shape| extra(shape, inputs, outputs, wider));
        for (bars, extra) in time_bars.iter_mut().zip([square, wide]) {
            bars.push((extra, format!("{extra:.1} %")));
        }
        let columns = if wider { "r" } else { "-" };
        writeln!(
            table,
            "| {name} | {inputs}\u{a0}in\u{a0}+\u{a0}{outputs}\u{a0}out | {columns} | {square:.1} % | {wide:.1} % |"
        )?;
    }
    let flop_bars = Bars {
        title: "LoRA's extra FLOP beside a layer of 4096²".into(),
        names: ["r = 8", "r = 16", "r = 64", "r = 256"].map(str::to_owned).into(),
        panels: vec![Panel { title: String::new(), values: flop_bars }],
    };
    let [square, wide] = time_bars;
    let plain = |name: &str| name.replace(['*', '\\'], "");
    let time_bars = Bars {
        title: "LoRA's extra time, by a model of the memory's speed".into(),
        names: VARIANTS.iter().map(|(name, ..)| plain(name)).collect(),
        panels: vec![
            Panel { title: "a layer of 4096 × 4096".into(), values: square },
            Panel { title: "a layer of 14336 × 4096".into(), values: wide },
        ],
    };
    let flop_caption = "The arithmetic that LoRA adds to a layer, forward and backward. Up to rank 64 it is less than a twentieth. Drawn by <code>cargo xtask regen</code>.";
    let time_caption = "The time that LoRA of rank 16 adds to a layer, by a model and not by a measurement. From above to below the products read and write fewer whole arrays: \
                        what is computed is the same, and how it is arranged decides what it costs. Drawn by <code>cargo xtask regen</code>.";
    Ok(vec![
        Page::exact("gpu-flop.md", flop),
        Page::exact("gpu-roofline.md", table),
        Page::exact(
            "gpu-flop.svg.html",
            figure("charts", &[flop_bars.draw("gpu-flop")], flop_caption),
        ),
        Page::exact(
            "gpu-roofline.svg.html",
            figure("charts", &[time_bars.draw("gpu-time")], time_caption),
        ),
    ])
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
