//! Charts as SVG inside a page: what is black in them takes the colour of the page's text, so that they suit every theme.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

/// Stands for the colour of the page's text until the SVG is done.
const INK: RGBColor = RGBColor(1, 2, 3);

/// Told apart by the colour-blind, and readable on white and on near-black (Okabe & Ito, a grey and a brown).
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

/// A named curve.
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// One chart.
pub struct Chart {
    pub title: String,
    pub x: &'static str,
    pub y: &'static str,
    /// Of both axes; a range of y that begins above 0 with `log` is drawn on a logarithmic axis.
    pub ranges: [std::ops::Range<f64>; 2],
    pub log: bool,
    pub lines: Vec<Line>,
}

/// Charts beside each other, with a caption, as HTML that Markdown passes on.
pub fn figure(caption: &str, charts: &[Chart]) -> Result<String> {
    let size = if charts.len() == 1 { (600, 330) } else { (380 * charts.len() as u32, 330) };
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        for (area, chart) in root.split_evenly((1, charts.len())).iter().zip(charts) {
            let [x, y] = chart.ranges.clone();
            let drawn = match chart.log {
                true => draw(area, chart, x, y.log_scale()),
                false => draw(area, chart, x, y),
            };
            drawn.map_err(|error| anyhow!("{}: {error}", chart.title))?;
        }
        root.present()?;
    }
    Ok(inline(&svg, caption))
}

/// An SVG inside a page: no blank line, which would end the HTML, and the page's own colour for ink.
pub fn inline(svg: &str, caption: &str) -> String {
    let svg = svg.replace("#010203", "currentColor");
    let start = svg.find("<svg").unwrap_or(0);
    let svg = svg[start..].replacen(
        "<svg ",
        "<svg role=\"img\" style=\"max-width:100%;height:auto\" ",
        1,
    );
    let lines: Vec<&str> = svg.lines().filter(|line| !line.trim().is_empty()).collect();
    format!("<figure>\n{}\n<figcaption>{caption}</figcaption>\n</figure>\n", lines.join("\n"))
}

fn draw<X, Y>(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    chart: &Chart,
    x: X,
    y: Y,
) -> Result<(), Box<dyn std::error::Error>>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let text = ("sans-serif", 13).into_font().color(&INK);
    let mut context = ChartBuilder::on(area)
        .caption(&chart.title, ("sans-serif", 15).into_font().color(&INK))
        .margin(8)
        .margin_right(18)
        .x_label_area_size(36)
        .y_label_area_size(56)
        .build_cartesian_2d(x, y)?;
    context
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.15))
        .axis_style(INK.mix(0.5))
        .label_style(text.clone())
        .axis_desc_style(text.clone())
        .x_desc(chart.x)
        .y_desc(chart.y)
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|value| value.to_string())
        .y_label_formatter(&|value| value.to_string())
        .draw()?;
    for (i, line) in chart.lines.iter().enumerate() {
        let style = COLOURS[i % COLOURS.len()].stroke_width(2);
        context
            .draw_series(LineSeries::new(line.points.iter().copied(), style))?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
    }
    if chart.lines.len() > 1 {
        context
            .configure_series_labels()
            .position(match chart.log {
                // Where curves that fall leave room.
                true => SeriesLabelPosition::LowerLeft,
                false => SeriesLabelPosition::UpperRight,
            })
            .legend_area_size(26)
            .label_font(text)
            .draw()?;
    }
    Ok(())
}
