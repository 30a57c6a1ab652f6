//! Horizontal bars, each with its value beside it, in panels that each have a scale of their own.

use crate::{Anchor, Svg, style};

/// Bars of one kind of number.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What is counted.
    pub title: String,
    /// One for each of [`Bars::names`], with the text that stands beside it.
    pub values: Vec<(f64, String)>,
}

/// Panels below each other, a bar for each name in each.
#[derive(Clone, Debug)]
pub struct Bars {
    /// Above all of them.
    pub title: String,
    /// Of the bars: a method's name gives it that method's colour.
    pub names: Vec<String>,
    /// Each with a scale of its own, unless they are counts. A bar that would be more than four times as long as the middle one is cut.
    pub panels: Vec<Panel>,
}

const WIDTH: f64 = 440.0;
/// From one bar to the next.
const ROW: f64 = 19.0;
/// Of a character, about.
const CHARACTER: f64 = 6.8;
/// Names of up to so many characters stand beside their bars; longer ones above.
const BESIDE: usize = 20;
/// A bar longer than so many times the middle one is cut, so that it does not hide how the others differ.
const CUT: f64 = 4.0;

impl Panel {
    /// What is as wide as the panel: the longest bar that is not cut.
    fn most(&self) -> f64 {
        let mut values: Vec<f64> = self.values.iter().map(|(value, _)| *value).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.get(values.len() / 2).copied().unwrap_or(0.0);
        let whole = values.into_iter().rev().find(|value| *value <= CUT * middle);
        whole.unwrap_or(middle).max(f64::MIN_POSITIVE)
    }
}

impl Bars {
    /// The drawing. `id` is unique in its page.
    #[must_use]
    pub fn draw(&self, id: &str) -> Svg {
        self.drawn(id, Panel::most)
    }

    /// The drawing of counts: one scale for all panels, and no bar is cut.
    #[must_use]
    pub fn draw_counts(&self, id: &str) -> Svg {
        let values = self.panels.iter().flat_map(|panel| &panel.values);
        let most = values.map(|(value, _)| *value).fold(1.0, f64::max);
        self.drawn(id, |_| most)
    }

    fn drawn(&self, id: &str, most: impl Fn(&Panel) -> f64) -> Svg {
        let longest_name = self.names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let above = longest_name > BESIDE;
        let row_height = if above { 2.0 * ROW } else { ROW };
        // A panel without a title has no room for one.
        let titles =
            if self.panels.iter().any(|panel| !panel.title.is_empty()) { 34.0 } else { 12.0 };
        let panel_height = titles + row_height * self.names.len() as f64;
        let size = [WIDTH, 34.0 + panel_height * self.panels.len() as f64];
        let mut svg = Svg::new(id, size, &self.title, &self.description());
        svg.text("strong", [8.0, 20.0], Anchor::Start, &self.title);
        let longest = |texts: &mut dyn Iterator<Item = &String>| {
            texts.map(|text| text.chars().count()).max().unwrap_or(0) as f64 * CHARACTER
        };
        let left = if above { 8.0 } else { 16.0 + CHARACTER * longest_name as f64 };
        let values = self.panels.iter().flat_map(|panel| &panel.values);
        let room = WIDTH - left - 14.0 - longest(&mut values.map(|(_, text)| text));
        for (i, panel) in self.panels.iter().enumerate() {
            let top = 34.0 + panel_height * i as f64;
            svg.text("strong", [left, top + 20.0], Anchor::Start, &panel.title);
            let most = most(panel);
            for (row, (name, (value, text))) in self.names.iter().zip(&panel.values).enumerate() {
                let y = top + titles - 4.0 + row_height * row as f64 + row_height - ROW;
                let length = room * (value / most).min(1.0);
                let class = format!("area {}", style::of_method(name).unwrap_or("curve-0"));
                svg.rect(&class, [left, y, length.max(1.0), ROW - 5.0]);
                if *value > most {
                    let x = left + 0.86 * length;
                    svg.path("cut", &format!("M{x:.1} {:.1}l6 -{:.1}", y + ROW - 3.0, ROW - 1.0));
                }
                match above {
                    true => svg.text("small", [left, y - 4.0], Anchor::Start, name),
                    false => svg.text("small", [left - 6.0, y + 12.0], Anchor::End, name),
                }
                svg.text("small", [left + length + 6.0, y + 12.0], Anchor::Start, text);
            }
        }
        svg
    }

    fn description(&self) -> String {
        let panels = self.panels.iter().map(|panel| {
            let bars = self.names.iter().zip(&panel.values);
            let bars: Vec<_> = bars.map(|(name, (_, text))| format!("{name} {text}")).collect();
            format!("{}: {}.", panel.title, bars.join(", "))
        });
        panels.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_bar_does_not_hide_the_others() {
        let panel = |values: &[f64]| Panel {
            title: String::new(),
            values: values.iter().map(|value| (*value, String::new())).collect(),
        };
        assert_eq!(panel(&[1170.0, 31.5, 13.5, 31.5, 7.7]).most(), 31.5);
        assert_eq!(panel(&[10.0, 4.0, 5.0]).most(), 10.0);
        assert_eq!(panel(&[9.6, 6.9]).most(), 9.6);
        assert!(panel(&[]).most() > 0.0);
    }

    #[test]
    fn a_small_panel_is_not_dwarfed_by_a_large_one() {
        let panel = |title: &str, a: f64, b: f64| Panel {
            title: title.into(),
            values: vec![(a, format!("{a} B")), (b, format!("{b} B"))],
        };
        let bars = Bars {
            title: "Memory".into(),
            names: vec!["LoRA".into(), "LoRA-FA".into()],
            panels: vec![panel("gradients", 4.0, 2.0), panel("saved", 4e9, 4e9)],
        };
        let svg = bars.draw("b").inline();
        let widths: Vec<f64> = svg
            .split("<rect class=\"area")
            .skip(1)
            .map(|rect| {
                rect.split("width=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
            })
            .collect();
        assert_eq!(widths.len(), 4);
        assert!((widths[0] - 2.0 * widths[1]).abs() < 0.2 && widths[0] == widths[2], "{widths:?}");
        assert!(svg.contains("gradients: LoRA 4 B, LoRA-FA 2 B."), "{svg}");
    }
}
