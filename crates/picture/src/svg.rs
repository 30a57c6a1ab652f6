//! A drawing, written plainly.

use crate::style;

/// On which side of its point a text lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The text begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
    End,
}

/// A drawing in progress. Colours and fonts are classes of [`style`]; coordinates are pixels from the upper left corner.
#[derive(Clone, Debug)]
pub struct Svg {
    id: String,
    size: [f64; 2],
    title: String,
    description: String,
    elements: String,
}

impl Svg {
    /// An empty drawing. `id` is unique in its page; `title` and `description` are for those who do not see it.
    pub fn new(id: &str, size: [f64; 2], title: &str, description: &str) -> Self {
        let (id, title, description) = (id.to_owned(), escaped(title), escaped(description));
        Self { id, size, title, description, elements: String::new() }
    }

    /// A rectangle: left, top, width, height.
    pub fn rect(&mut self, class: &str, [x, y, width, height]: [f64; 4]) {
        self.elements += &format!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>\n"
        );
    }

    /// A rectangle of one of the patterns: `hatch`, `dots` or `stripes`.
    pub(crate) fn pattern(&mut self, name: &str, [x, y, width, height]: [f64; 4]) {
        self.elements += &format!(
            "<rect fill=\"url(#{}-{name})\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>\n",
            self.id
        );
    }

    /// A path, as SVG has it.
    pub fn path(&mut self, class: &str, path: &str) {
        self.elements += &format!("<path class=\"{class}\" d=\"{path}\"/>\n");
    }

    /// A line through points.
    pub fn polyline(&mut self, class: &str, points: impl IntoIterator<Item = [f64; 2]>) {
        let points: Vec<String> =
            points.into_iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
        self.elements +=
            &format!("<polyline class=\"{class}\" points=\"{}\"/>\n", points.join(" "));
    }

    /// A line with a head at its end. `class` is of the line, `head` of its head.
    pub fn arrow(&mut self, [class, head]: [&str; 2], from: [f64; 2], to: [f64; 2]) {
        let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
        let length = dx.hypot(dy).max(1e-9);
        let (dx, dy) = (dx / length, dy / length);
        // 9 pixels long, 4 to each side.
        let [x, y] = [to[0] - 9.0 * dx, to[1] - 9.0 * dy];
        self.path(class, &format!("M{:.1} {:.1}L{x:.1} {y:.1}", from[0], from[1]));
        self.path(
            head,
            &format!(
                "M{:.1} {:.1}L{:.1} {:.1}L{:.1} {:.1}z",
                to[0],
                to[1],
                x - 4.0 * dy,
                y + 4.0 * dx,
                x + 4.0 * dy,
                y - 4.0 * dx
            ),
        );
    }

    /// A text whose baseline is at a point.
    pub fn text(&mut self, class: &str, [x, y]: [f64; 2], anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.elements += &format!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>\n",
            escaped(text)
        );
    }

    /// A formula whose middle, begin or end is at a point: `_` makes the next character a subscript.
    pub fn formula(&mut self, class: &str, [x, y]: [f64; 2], anchor: Anchor, formula: &str) {
        let before = self.elements.len();
        self.text(&format!("italic {class}"), [x, y], anchor, formula);
        let mut text = self.elements.split_off(before);
        while let Some(at) = text.find('_') {
            let next = text[at + 1..].chars().next().map_or(0, char::len_utf8);
            let low = format!(
                "<tspan dy=\"4\" font-size=\"14.5\">{}</tspan><tspan dy=\"-4\">\u{200b}</tspan>",
                &text[at + 1..at + 1 + next]
            );
            text.replace_range(at..at + 1 + next, &low);
        }
        self.elements += &text;
    }

    /// A cell of a table of numbers: from 0, empty, to 1, full, with a text in it and, if it is `marked`, a border.
    pub fn cell(&mut self, [x, y, width, height]: [f64; 4], full: f64, text: &str, marked: bool) {
        self.elements += &format!(
            "<rect class=\"cell\" fill-opacity=\"{:.2}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>\n",
            // The text on it stays legible.
            0.6 * full
        );
        if marked {
            self.rect("line", [x + 2.0, y + 2.0, width - 4.0, height - 4.0]);
        }
        self.text("small", [x + width / 2.0, y + height / 2.0 + 5.0], Anchor::Middle, text);
    }

    /// Another drawing inside this one, its corner at a point.
    pub fn embed(&mut self, other: &Self, [x, y]: [f64; 2]) {
        self.elements += &format!(
            "<g transform=\"translate({x:.1} {y:.1})\">\n{}{}</g>\n",
            other.patterns(),
            other.elements
        );
    }

    /// As [`embed`](Self::embed), as frame `number` of a moving picture, counted from 0: see [`move_frames`](Self::move_frames).
    pub fn frame(&mut self, number: usize, other: &Self, [x, y]: [f64; 2]) {
        self.elements += &format!(
            "<g class=\"frame\" style=\"--frame: {number}\" transform=\"translate({x:.1} {y:.1})\">\n{}</g>\n",
            other.elements
        );
    }

    /// Shows one frame after the other, `seconds` each and the last for longer, over and over. A reader who wants no motion
    /// sees the last.
    pub fn move_frames(&mut self, count: usize, seconds: f64, last: f64) {
        let whole = count as f64 * seconds + last;
        let share = |seconds: f64| 100.0 * seconds / whole;
        self.elements += &format!(
            "<style>\n\
             .pic .frame {{ visibility: hidden; animation: frame {whole:.2}s step-end infinite; \
             animation-delay: calc(var(--frame) * {seconds:.3}s); }}\n\
             .pic .frame:last-of-type {{ animation-name: last-frame; }}\n\
             @keyframes frame {{ 0% {{ visibility: visible; }} {:.3}% {{ visibility: hidden; }} }}\n\
             @keyframes last-frame {{ 0% {{ visibility: visible; }} {:.3}% {{ visibility: hidden; }} }}\n\
             @media (prefers-reduced-motion: reduce) {{ .pic .frame {{ animation: none; }} .pic .frame:last-of-type {{ visibility: visible; }} }}\n\
             </style>\n",
            share(seconds),
            share(seconds + last),
        );
    }

    /// Width and height.
    pub fn size(&self) -> [f64; 2] {
        self.size
    }

    /// For a page that has the style sheet [`style::of_page`]. No blank line, which would end HTML inside of Markdown.
    pub fn inline(&self) -> String {
        self.whole("")
    }

    /// A file of its own, with its style sheet and a background.
    pub fn file(&self) -> String {
        let [width, height] = self.size;
        let sheet =
            format!("<rect class=\"sheet\" width=\"{width:.0}\" height=\"{height:.0}\"/>\n");
        self.whole(&format!("<style>\n{}</style>\n{sheet}", style::of_file()))
    }

    fn whole(&self, first: &str) -> String {
        let Self { id, size: [width, height], title, description, elements } = self;
        format!(
            "<svg class=\"pic\" role=\"img\" aria-labelledby=\"{id}-title {id}-text\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             width=\"{width:.0}\" height=\"{height:.0}\" xmlns=\"http://www.w3.org/2000/svg\">\n\
             <title id=\"{id}-title\">{title}</title>\n<desc id=\"{id}-text\">{description}</desc>\n{first}{}{elements}</svg>\n",
            self.patterns(),
        )
    }

    /// Those that are used.
    fn patterns(&self) -> String {
        let id = &self.id;
        let all = [
            (
                "hatch",
                " patternTransform=\"rotate(45)\"",
                "<path class=\"frozen-marks\" d=\"M3 0V6\"/>",
            ),
            ("dots", "", "<circle class=\"trained-marks\" cx=\"3\" cy=\"3\" r=\"1.3\"/>"),
            ("stripes", "", "<path class=\"kept-marks\" d=\"M0 3H6\"/>"),
        ];
        let used =
            all.iter().filter(|(name, ..)| self.elements.contains(&format!("#{id}-{name})")));
        let patterns: String = used
            .map(|(name, turn, mark)| {
                format!(
                    "<pattern id=\"{id}-{name}\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"{turn}>{mark}</pattern>\n"
                )
            })
            .collect();
        if patterns.is_empty() { patterns } else { format!("<defs>\n{patterns}</defs>\n") }
    }
}

/// Drawings with a caption, as HTML that Markdown passes on. `class` says how they lie beside and below each other.
pub fn figure(class: &str, drawings: &[Svg], caption: &str) -> String {
    let drawings: String =
        drawings.iter().map(|svg| format!("<div>\n{}</div>\n", svg.inline())).collect();
    format!(
        "<figure class=\"pics {class}\">\n<div class=\"drawings\">\n{drawings}</div>\n<figcaption>{caption}</figcaption>\n</figure>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_follow_each_other_and_the_last_stays() {
        let mut one = Svg::new("one", [10.0, 10.0], "", "");
        one.rect("line", [0.0, 0.0, 5.0, 5.0]);
        let mut film = Svg::new("film", [20.0, 20.0], "", "");
        for number in 0..3 {
            film.frame(number, &one, [1.0, 2.0]);
        }
        film.move_frames(3, 0.5, 2.5);
        let file = film.file();
        assert_eq!(file.matches("class=\"frame\"").count(), 3);
        // Of 4 seconds each frame has an eighth, the last three quarters.
        for part in ["--frame: 2", "animation: frame 4.00s", "12.500%", "75.000%", "reduced-motion"]
        {
            assert!(file.contains(part), "{part}: {file}");
        }
    }

    #[test]
    fn a_drawing_inside_a_page_has_no_blank_line_and_only_the_patterns_it_uses() {
        let mut svg = Svg::new("one", [100.0, 50.0], "a < b", "text");
        assert!(!svg.inline().contains("<defs>"));
        svg.pattern("dots", [0.0, 0.0, 10.0, 10.0]);
        let page = figure("wide", &[svg.clone()], "caption");
        assert!(page.contains("id=\"one-dots\"") && !page.contains("one-hatch"), "{page}");
        assert!(page.contains("a &lt; b") && !page.contains("\n\n"), "{page}");
        let mut two = Svg::new("two", [100.0, 50.0], "", "");
        two.embed(&svg, [5.0, 5.0]);
        let file = two.file();
        assert!(
            file.contains("id=\"one-dots\"") && file.contains("prefers-color-scheme"),
            "{file}"
        );
    }
}
