//! Curves and bars as SVG that suits light and dark pages.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use atomic_write_file::AtomicWriteFile;
use plotters::coord::Shift;
use plotters::prelude::*;

/// A named curve: one value for each whole number.
pub struct Curve {
    /// What it is of.
    pub name: String,
    /// The number of the first value.
    pub first: usize,
    /// The values; those that are not above 0 have no place on a logarithmic axis and are left out.
    pub values: Vec<f64>,
}

const SIZE: (u32, u32) = (800, 480);
// Readable on white and on near-black, and told apart by the colour-blind (Okabe & Ito).
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(128, 128, 128),
    RGBColor(150, 90, 50),
];
const GREY: RGBColor = RGBColor(128, 128, 128);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Curves over a logarithmic axis.
pub fn lines(path: &Path, title: &str, axes: [&str; 2], curves: &[Curve]) -> Result<()> {
    write(path, |root| draw_lines(root, title, axes, curves))
}

/// One horizontal bar for each name, made of one part for each of `kinds`.
pub fn stacked<const N: usize>(
    path: &Path,
    title: &str,
    unit: &str,
    kinds: [&str; N],
    bars: &[(String, [f64; N])],
) -> Result<()> {
    write(path, |root| draw_stacked(root, title, unit, kinds, bars))
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
fn write(path: &Path, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<()> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let drawn = draw(&root).and_then(|()| Ok(root.present()?));
        drawn.map_err(|error| anyhow!("drawing {}: {error}", path.display()))?;
    }
    let write = || {
        let mut temporary = AtomicWriteFile::open(path)?;
        temporary.write_all(svg.as_bytes())?;
        temporary.commit()
    };
    write().with_context(|| format!("writing {}", path.display()))
}

fn font(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&GREY)
}

fn draw_lines(root: &Area<'_>, title: &str, [x, y]: [&str; 2], curves: &[Curve]) -> Drawn {
    let all =
        || curves.iter().flat_map(|curve| &curve.values).copied().filter(|value| *value > 0.0);
    let low = all().fold(f64::INFINITY, f64::min).max(1e-6);
    let high = all().fold(low, f64::max) * 1.2;
    let first = curves.iter().map(|curve| curve.first).min().unwrap_or(0);
    let last = curves.iter().map(|curve| curve.first + curve.values.len()).max().unwrap_or(0);

    let mut chart = ChartBuilder::on(root)
        .caption(title, font(20))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(first..last.max(first + 2) - 1, (low / 1.2..high).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GREY.mix(0.25))
        .axis_style(GREY)
        .label_style(font(15))
        .axis_desc_style(font(15))
        .x_desc(x)
        .y_desc(y)
        .draw()?;
    for (i, curve) in curves.iter().enumerate() {
        let style = COLOURS[i % COLOURS.len()].stroke_width(2);
        let points = curve.values.iter().enumerate().map(|(i, value)| (curve.first + i, *value));
        chart
            .draw_series(LineSeries::new(points.filter(|(_, value)| *value > 0.0), style))?
            .label(&curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .legend_area_size(30)
        .label_font(font(15))
        .draw()?;
    Ok(())
}

fn draw_stacked<const N: usize>(
    root: &Area<'_>,
    title: &str,
    unit: &str,
    kinds: [&str; N],
    bars: &[(String, [f64; N])],
) -> Drawn {
    let longest = bars.iter().map(|(_, parts)| parts.iter().sum::<f64>()).fold(0.0, f64::max);
    // The first bar on top; a bar is centred on its number.
    let rows = -0.5..bars.len() as f64 - 0.5;
    let name = |row: &f64| {
        let place = bars.len() as f64 - 1.0 - row;
        let bar = (place.fract().abs() < 1e-9).then(|| bars.get(place as usize)).flatten();
        bar.map_or(String::new(), |(name, _)| name.clone())
    };
    let mut chart = ChartBuilder::on(root)
        .caption(title, font(20))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(42)
        .y_label_area_size(150)
        .build_cartesian_2d(0.0..longest.max(f64::MIN_POSITIVE) * 1.05, rows)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GREY.mix(0.25))
        .axis_style(GREY)
        .label_style(font(15))
        .axis_desc_style(font(15))
        .x_desc(unit)
        .y_labels(2 * bars.len() + 1)
        .y_label_formatter(&name)
        .draw()?;
    for (kind, label) in kinds.into_iter().enumerate() {
        let style = COLOURS[kind % COLOURS.len()].filled();
        let part = |(i, (_, parts)): (usize, &(String, [f64; N]))| {
            let row = (bars.len() - 1 - i) as f64;
            let start: f64 = parts[..kind].iter().sum();
            Rectangle::new([(start, row - 0.32), (start + parts[kind], row + 0.32)], style)
        };
        chart
            .draw_series(bars.iter().enumerate().map(part))?
            .label(label)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 20, y + 5)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .legend_area_size(30)
        .label_font(font(15))
        .draw()?;
    Ok(())
}
