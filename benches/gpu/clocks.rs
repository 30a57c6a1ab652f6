//! Clocks, heat and power, which no library of CUDA tells: nvidia-smi does.

use std::process::{Output, Stdio};

use anyhow::Result;

use super::row::Row;
use super::supervise::limited;

const FIELDS: [&str; 8] = [
    "driver_version",
    "clocks.sm",
    "clocks.max.sm",
    "clocks.mem",
    "clocks_event_reasons.active",
    "temperature.gpu",
    "power.draw",
    "power.limit",
];

/// A row of what they are at this moment, with `meanwhile` done over and over until the answer is there. Where there is no
/// answer, a line says why.
///
/// # Errors
/// What `meanwhile` returns.
pub fn ask(moment: &str, mut meanwhile: impl FnMut() -> Result<()>) -> Result<Option<Row>> {
    let query = format!("--query-gpu={}", FIELDS.join(","));
    let mut ask = limited(10, "nvidia-smi");
    ask.args([query.as_str(), "--format=csv,noheader"]);
    ask.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match ask.spawn() {
        Ok(child) => child,
        Err(error) => return Ok(nothing(moment, &error.to_string())),
    };
    while matches!(child.try_wait(), Ok(None)) {
        meanwhile()?;
    }
    Ok(match child.wait_with_output() {
        Ok(output) => said(moment, &output),
        Err(error) => nothing(moment, &error.to_string()),
    })
}

fn said(moment: &str, output: &Output) -> Option<Row> {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    // Of several GPUs the first is the one that is used.
    let line = text.lines().next().unwrap_or_default();
    if !output.status.success() {
        return nothing(moment, line);
    }
    let values = FIELDS.iter().zip(line.split(',')).map(|(field, value)| {
        let value = value.trim();
        format!("{field} {value}")
    });
    let values = values.collect::<Vec<_>>().join(", ");
    Some(Row::Versions([(format!("nvidia-smi, {moment}"), values)].into()))
}

/// On standard output: on standard error it would pass for the reason why a part failed.
fn nothing(moment: &str, why: &str) -> Option<Row> {
    println!("nvidia-smi, {moment}: {why}");
    None
}
