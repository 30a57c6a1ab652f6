//! Curves over two axes, each with its name at its end.

use std::ops::Range;

use crate::{Anchor, Svg, style};

/// A named curve.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it is of: a method's name gives it that method's colour.
    pub name: String,
    /// From left to right, as far as the name is to stand at its end.
    pub points: Vec<(f64, f64)>,
}

/// Curves over two axes.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Above the curves.
    pub title: String,
    /// What is along the axes.
    pub axes: [String; 2],
    /// Of x and y.
    pub ranges: [Range<f64>; 2],
    /// Is y's axis logarithmic?
    pub log: bool,
    /// As high as is true to the ranges, so that a circle is a circle.
    pub square: bool,
    /// The curves.
    pub lines: Vec<Line>,
}

/// Narrow enough that a text of 14 pixels still has 11 on a page of 360.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 340.0;
/// Around the curves: left, top, and below them. On the right it is as much as the longest name needs.
const MARGINS: [f64; 3] = [58.0, 54.0, 46.0];
/// Up to so many points are marked one by one.
const FEW: usize = 16;
/// Between the baselines of two names.
const LINE: f64 = 17.0;
/// Of a character of a name, about.
const CHARACTER: f64 = 7.1;

impl Chart {
    /// The drawing. `id` is unique in its page.
    #[must_use]
    pub fn draw(&self, id: &str) -> Svg {
        let plot = self.plot();
        let [_, top, _, height] = plot.place;
        let size = [WIDTH, top + height + MARGINS[2]];
        let mut svg = Svg::new(id, size, &self.title, &self.description());
        plot.axes(&mut svg);
        for (i, line) in self.lines.iter().enumerate() {
            let class = format!("line {}", style::of_curve(&line.name, i));
            svg.polyline(&class, line.points.iter().map(|point| plot.at(*point)));
            // Where there are few, one sees that between them there is nothing.
            if line.points.len() <= FEW {
                for point in &line.points {
                    let [x, y] = plot.at(*point);
                    let class = class.replace("line", "area");
                    svg.rect(&class, [x - 2.5, y - 2.5, 5.0, 5.0]);
                }
            }
        }
        if self.lines.len() > 1 {
            plot.names(&mut svg);
        }
        svg
    }

    /// Where a point (x, y) is in the drawing; a value outside of the range is at the edge.
    #[must_use]
    pub fn at(&self, point: (f64, f64)) -> [f64; 2] {
        self.plot().at(point)
    }

    fn plot(&self) -> Plot<'_> {
        let longest = self.lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0);
        // The end of the curve, the leader, and what capitals take beyond the average.
        let right = if self.lines.len() > 1 { 42.0 + CHARACTER * longest as f64 } else { 14.0 };
        let [left, top, below] = MARGINS;
        let width = WIDTH - left - right;
        let [x, y] = &self.ranges;
        let height = match self.square {
            true => width * (y.end - y.start) / (x.end - x.start),
            false => HEIGHT - top - below,
        };
        Plot { chart: self, place: [left, top, width, height] }
    }

    /// Where each curve begins and ends.
    fn description(&self) -> String {
        let ends = self.lines.iter().filter_map(|line| {
            let (first, last) = (line.points.first()?, line.points.last()?);
            Some(format!("{}: from {} to {}.", line.name, number(first.1), number(last.1)))
        });
        let [x, y] = &self.axes;
        format!("{y} over {x}. {}", ends.collect::<Vec<_>>().join(" "))
    }
}

struct Plot<'a> {
    chart: &'a Chart,
    /// Left, top, width, height of the area of the curves.
    place: [f64; 4],
}

impl Plot<'_> {
    /// The pixel of a point; a value outside of the range is drawn at the edge.
    fn at(&self, (x, y): (f64, f64)) -> [f64; 2] {
        let [left, top, width, height] = self.place;
        let [across, up] = &self.chart.ranges;
        let share = |value: f64, range: Range<f64>| {
            ((value - range.start) / (range.end - range.start)).clamp(0.0, 1.0)
        };
        let up = match self.chart.log {
            true => share(y.max(f64::MIN_POSITIVE).ln(), up.start.ln()..up.end.ln()),
            false => share(y, up.clone()),
        };
        [left + width * share(x, across.clone()), top + height * (1.0 - up)]
    }

    fn axes(&self, svg: &mut Svg) {
        let [left, top, width, height] = self.place;
        let Chart { title, axes: [x_name, y_name], ranges: [across, up], log, .. } = self.chart;
        svg.text("strong", [4.0, top - 36.0], Anchor::Start, title);
        // The name of y stands above its axis, where it is read without turning the head.
        svg.text("small", [4.0, top - 15.0], Anchor::Start, y_name);
        svg.text("small", [left + width, top + height + 38.0], Anchor::End, x_name);
        let ticks = if *log { powers(up) } else { steps(up, 5.0) };
        for tick in ticks {
            let [_, y] = self.at((across.start, tick));
            svg.path("grid", &format!("M{left:.1} {y:.1}h{width:.1}"));
            svg.text("small", [left - 6.0, y + 5.0], Anchor::End, &number(tick));
        }
        for tick in steps(across, width / 40.0) {
            let [x, _] = self.at((tick, up.start));
            svg.path("thin", &format!("M{x:.1} {:.1}v5", top + height));
            svg.text("small", [x, top + height + 20.0], Anchor::Middle, &number(tick));
        }
        svg.path("thin", &format!("M{left:.1} {:.1}h{width:.1}", top + height));
    }

    /// The name of each curve beside its end, pushed apart where they would lie on each other.
    fn names(&self, svg: &mut Svg) {
        let [left, top, width, height] = self.place;
        let mut ends: Vec<(usize, [f64; 2])> = (self.chart.lines.iter().enumerate())
            .filter_map(|(i, line)| Some((i, self.at(*line.points.last()?))))
            .collect();
        ends.sort_by(|(_, a), (_, b)| a[1].total_cmp(&b[1]));
        let places =
            spread(&ends.iter().map(|(_, end)| end[1]).collect::<Vec<_>>(), top..top + height);
        let x = left + width + 8.0;
        for ((i, end), y) in ends.iter().zip(places) {
            let name = &self.chart.lines[*i].name;
            svg.polyline("grid", [*end, [x, y]]);
            let class = format!("line {}", style::of_curve(name, *i));
            svg.path(&class, &format!("M{x:.1} {y:.1}h18"));
            svg.text("small", [x + 22.0, y + 5.0], Anchor::Start, name);
        }
    }
}

/// Heights in rising order, moved as little as keeps [`LINE`] between them and, as far as there is room, all in the range.
fn spread(wanted: &[f64], range: Range<f64>) -> Vec<f64> {
    let mut places: Vec<f64> = Vec::new();
    for &place in wanted {
        let after = places.last().map_or(range.start, |last| last + LINE);
        places.push(place.max(after));
    }
    let mut before = range.end;
    for place in places.iter_mut().rev() {
        *place = place.min(before);
        before = *place - LINE;
    }
    places
}

/// The powers of ten in a range; also their halves and fifths if those are few.
fn powers(range: &Range<f64>) -> Vec<f64> {
    let exponents = range.start.log10().floor() as i32..=range.end.log10().ceil() as i32;
    let of = |factors: &[f64]| -> Vec<f64> {
        let all = exponents
            .clone()
            .flat_map(|exponent| factors.iter().map(move |f| f * 10f64.powi(exponent)));
        all.filter(|tick| (range.start..=range.end).contains(tick)).collect()
    };
    let tens = of(&[1.0]);
    if tens.len() < 3 { of(&[1.0, 2.0, 5.0]) } else { tens }
}

/// Round numbers in a range, about `count` of them.
fn steps(range: &Range<f64>, count: f64) -> Vec<f64> {
    let rough = (range.end - range.start) / count;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|f| f * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let first = (range.start / step).ceil() as i64;
    let last = (range.end / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// A number of an axis, without the dust of its computation.
pub(crate) fn number(value: f64) -> String {
    let rounded = format!("{value:.3e}").parse::<f64>().unwrap_or(value);
    if rounded != 0.0 && rounded.abs() < 1e-4 {
        format!("{rounded:e}")
    } else {
        rounded.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_distance_and_stay_inside() {
        let places = spread(&[10.0, 11.0, 12.0, 99.0, 100.0], 0.0..100.0);
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= LINE), "{places:?}");
        assert!(places[0] >= 0.0 && places[4] <= 100.0, "{places:?}");
        assert_eq!(spread(&[20.0, 60.0], 0.0..100.0), [20.0, 60.0]);
    }

    #[test]
    fn axes_have_round_numbers() {
        assert_eq!(steps(&(0.0..400.0), 5.0), [0.0, 100.0, 200.0, 300.0, 400.0]);
        assert_eq!(
            powers(&(3e-3..10.0)).iter().map(|t| number(*t)).collect::<Vec<_>>(),
            ["0.01", "0.1", "1", "10"]
        );
        assert_eq!(
            powers(&(0.5..8.0)).iter().map(|t| number(*t)).collect::<Vec<_>>(),
            ["0.5", "1", "2", "5"]
        );
    }

    #[test]
    fn a_curve_has_its_name_and_its_method_s_colour() {
        let line = |name: &str, y| Line { name: name.into(), points: vec![(0.0, 1.0), (4.0, y)] };
        let chart = Chart {
            title: "t".into(),
            axes: ["step".into(), "loss".into()],
            ranges: [0.0..4.0, 0.01..10.0],
            log: true,
            square: false,
            lines: vec![line("LoRA", 0.5), line("other", 0.5)],
        };
        let svg = chart.draw("c").inline();
        assert!(
            svg.contains("class=\"line lora\"") && svg.contains("class=\"line curve-1 dash-1\""),
            "{svg}"
        );
        assert!(svg.contains("loss over step. LoRA: from 1 to 0.5."), "{svg}");
    }
}
