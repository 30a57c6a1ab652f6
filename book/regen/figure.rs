//! Charts inside a page.

use picture::Svg;
pub use picture::{Chart, Line};

/// Charts beside each other, or below each other where there is no room, with a caption. `id` is unique in its page.
pub fn figure(id: &str, caption: &str, charts: &[Chart]) -> String {
    let draw = |(i, chart): (usize, &Chart)| chart.draw(&format!("{id}-{i}"));
    let drawings: Vec<Svg> = charts.iter().enumerate().map(draw).collect();
    picture::figure("charts", &drawings, caption)
}
