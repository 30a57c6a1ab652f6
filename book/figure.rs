//! Charts inside a page.

use picture::Svg;
pub use picture::{Chart, Line};

/// Charts beside each other, or below each other where there is no room, with a caption. `id` is unique in its page. What the
/// charts cut off, and the command that draws them, is added to the caption.
pub fn figure(id: &str, caption: &str, charts: &[Chart]) -> String {
    let draw = |(i, chart): (usize, &Chart)| chart.draw(&format!("{id}-{i}"));
    let drawings: Vec<Svg> = charts.iter().enumerate().map(draw).collect();
    let cut = cut(charts);
    let caption = format!("{caption} {cut}Drawn by <code>cargo xtask regen</code>.");
    picture::figure("charts", &drawings, &caption)
}

/// Says so where a curve leaves its chart, which draws it along the edge.
fn cut(charts: &[Chart]) -> String {
    let mut sentences = Vec::new();
    for chart in charts {
        let range = &chart.ranges[1];
        let values = || chart.lines.iter().flat_map(|line| &line.points).map(|point| point.1);
        if values().any(|value| value < range.start) {
            sentences.push(format!("What is below {} lies on the lower edge. ", range.start));
        }
        if values().any(|value| value > range.end) {
            sentences.push(format!("What is above {} lies on the upper edge. ", range.end));
        }
    }
    sentences.dedup();
    sentences.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caption_says_what_its_charts_cut_off() {
        let chart = |values: &[f64]| Chart {
            title: "t".into(),
            axes: ["x".into(), "y".into()],
            ranges: [0.0..1.0, 0.01..1.0],
            log: true,
            square: false,
            lines: vec![Line {
                name: "l".into(),
                points: values.iter().map(|y| (0.0, *y)).collect(),
            }],
        };
        assert_eq!(cut(&[chart(&[0.01, 1.0])]), "");
        assert_eq!(
            cut(&[chart(&[0.5, 0.009]), chart(&[0.001])]),
            "What is below 0.01 lies on the lower edge. "
        );
        assert_eq!(cut(&[chart(&[2.0])]), "What is above 1 lies on the upper edge. ");
    }
}
