//! Of the model of a GPU's time.

use anyhow::Result;

use crate::gpu::{BANDWIDTH, BYTES, FLOPS, RANK, VARIANTS};
use book::numbers::Numbers;

pub fn add(numbers: &mut Numbers) -> Result<()> {
    numbers.add("gpu-flops", FLOPS / 1e12);
    numbers.add("gpu-bandwidth", BANDWIDTH / 1e12);
    numbers.add("gpu-per-number", format!("{:.0}", FLOPS / (BANDWIDTH / BYTES)));
    let (_, inputs, outputs, _) = VARIANTS[0];
    numbers.add("gpu-passes", inputs + outputs);
    let (tokens, width) = (1024.0, 4096.0);
    numbers.add("gpu-base-time", format!("{:.0}", 1e6 * 4.0 * tokens * width * width / FLOPS));
    let tokens = 8192.0;
    let megabytes = |columns: f64| BYTES * tokens * columns / 1e6;
    numbers.add("gpu-fa-kept", format!("{:.2}", megabytes(RANK)));
    numbers.add("gpu-lora-kept", format!("{:.0}", megabytes(width + RANK)));
    let shim = include_str!("../../../crates/cuda/src/emulator/shim.hpp");
    numbers.add("gpu-shim", shim.lines().count());
    Ok(())
}
