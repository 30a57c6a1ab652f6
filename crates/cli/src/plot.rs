//! Loss curves as an SVG that suits light and dark pages.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use atomic_write_file::AtomicWriteFile;
use plotters::prelude::*;

/// A named curve: loss by step.
pub struct Curve {
    /// What it is of.
    pub name: String,
    /// Loss at each step, from step 0.
    pub losses: Vec<f64>,
}

const SIZE: (u32, u32) = (800, 480);
// Readable on white and on near-black, and told apart by the colour-blind (Okabe & Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(128, 128, 128),
];
const GREY: RGBColor = RGBColor(128, 128, 128);

/// Write the curves to `path`, each smoothed by a running mean of 10 steps; the loss axis is logarithmic.
pub fn losses(path: &Path, title: &str, curves: &[Curve]) -> Result<()> {
    let mut svg = String::new();
    draw(&mut svg, title, curves)
        .map_err(|error| anyhow!("drawing {}: {error}", path.display()))?;
    let write = || {
        let mut temporary = AtomicWriteFile::open(path)?;
        temporary.write_all(svg.as_bytes())?;
        temporary.commit()
    };
    write().with_context(|| format!("writing {}", path.display()))
}

fn draw(svg: &mut String, title: &str, curves: &[Curve]) -> Result<(), Box<dyn std::error::Error>> {
    let smooth: Vec<_> = curves.iter().map(|curve| running_mean(&curve.losses, 10)).collect();
    let all = || smooth.iter().flatten().copied().filter(|loss| *loss > 0.0);
    let low = all().fold(f64::INFINITY, f64::min).max(1e-6);
    let high = all().fold(low, f64::max) * 1.2;
    let steps = smooth.iter().map(Vec::len).max().unwrap_or(0).max(2);

    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let text = ("sans-serif", 15).into_font().color(&GREY);
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 20).into_font().color(&GREY))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(0..steps - 1, (low / 1.2..high).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GREY.mix(0.25))
        .axis_style(GREY)
        .label_style(text.clone())
        .axis_desc_style(text.clone())
        .x_desc("step")
        .y_desc("loss (mean of 10 steps)")
        .draw()?;
    for (i, (curve, losses)) in curves.iter().zip(&smooth).enumerate() {
        let style = COLOURS[i % COLOURS.len()].stroke_width(2);
        chart
            .draw_series(LineSeries::new(losses.iter().copied().enumerate(), style))?
            .label(&curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .legend_area_size(30)
        .label_font(text)
        .draw()?;
    root.present()?;
    Ok(())
}

fn running_mean(values: &[f64], window: usize) -> Vec<f64> {
    let mean = |i: usize| {
        let part = &values[(i + 1).saturating_sub(window)..=i];
        part.iter().sum::<f64>() / part.len() as f64
    };
    (0..values.len()).map(mean).collect()
}
