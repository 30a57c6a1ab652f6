//! Curves and bars as SVG files that suit light and dark pages.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use atomic_write_file::AtomicWriteFile;
use picture::{Bars, Chart, Line, Svg};

/// A named curve: one value for each whole number.
pub struct Curve {
    /// What it is of.
    pub name: String,
    /// The number of the first value.
    pub first: usize,
    /// The values; those that are not above 0 have no place on a logarithmic axis and are left out.
    pub values: Vec<f64>,
}

/// Curves over a logarithmic axis.
pub fn lines(path: &Path, title: &str, axes: [&str; 2], curves: &[Curve]) -> Result<()> {
    let line = |curve: &Curve| {
        let points = curve.values.iter().enumerate().filter(|(_, value)| **value > 0.0);
        let points = points.map(|(i, value)| ((curve.first + i) as f64, *value)).collect();
        Line { name: curve.name.clone(), points }
    };
    let lines: Vec<Line> = curves.iter().map(line).collect();
    let points = || lines.iter().flat_map(|line| &line.points);
    let (first, last) =
        points().fold((f64::INFINITY, 0.0), |(first, last), (x, _)| (x.min(first), x.max(last)));
    let low = points().map(|point| point.1).fold(f64::INFINITY, f64::min).max(1e-6);
    let high = points().map(|point| point.1).fold(low, f64::max);
    // Room for a curve of one point, and for none.
    let first = if first.is_finite() { first } else { 0.0 };
    let low = if low.is_finite() { low } else { 1.0 };
    let chart = Chart {
        title: title.to_owned(),
        axes: axes.map(str::to_owned),
        ranges: [first..last.max(first + 1.0), low / 1.2..high.max(low) * 1.2],
        log: true,
        square: false,
        lines,
    };
    write(path, &chart.draw("lines"))
}

/// Bars in panels.
pub fn bars(path: &Path, bars: &Bars) -> Result<()> {
    write(path, &bars.draw("bars"))
}

/// The mean of each value and the `window` − 1 before it.
pub fn running_mean(values: &[f64], window: usize) -> Vec<f64> {
    let mean = |i: usize| {
        let part = &values[(i + 1).saturating_sub(window)..=i];
        part.iter().sum::<f64>() / part.len() as f64
    };
    (0..values.len()).map(mean).collect()
}

/// To a temporary file first, which then takes its place.
fn write(path: &Path, svg: &Svg) -> Result<()> {
    let write = || {
        let mut temporary = AtomicWriteFile::open(path)?;
        temporary.write_all(svg.file().as_bytes())?;
        temporary.commit()
    };
    write().with_context(|| format!("writing {}", path.display()))
}
