//! Colours, and the style sheet that a page or a file needs.

use std::fmt::Write;

/// A colour by what it means: its name, its value on white, its value on near-black.
///
/// The first seven are those of drawings of matrices, the next eight those of the methods in charts, the last four those of
/// what is no method: none of them is near a method's. The methods' are told apart by the colour-blind (after Okabe and Ito), and
/// each has a contrast of at least 3 to its background.
pub const COLOURS: [(&str, &str, &str); 19] = [
    ("ink", "#1d1f21", "#d3d6df"),
    ("paper", "#ffffff", "#161923"),
    ("grid", "#d7d9dc", "#3b4152"),
    ("frozen", "#70757c", "#9aa1ad"),
    ("trained", "#0072b2", "#56b4e9"),
    ("moved", "#c04b00", "#ff9149"),
    ("kept", "#94366f", "#e58fc6"),
    ("full", "#4d5359", "#c3c8d1"),
    ("lora", "#0072b2", "#56b4e9"),
    ("lora-fa", "#00795a", "#2fc79a"),
    ("lora-fa-projected", "#00795a", "#2fc79a"),
    ("vera", "#a86d00", "#f0b429"),
    ("delta-lora", "#94366f", "#e58fc6"),
    ("lora-plus", "#c04b00", "#ff9149"),
    ("dora", "#6a4fb3", "#b3a0f0"),
    ("curve-0", "#61740f", "#b9d455"),
    ("curve-1", "#8c1c2c", "#ff9c9c"),
    ("curve-2", "#6e4a33", "#d2a98c"),
    ("curve-3", "#23481c", "#dcefc4"),
];

/// The dashes of curves, so that they can be told apart without colour.
const DASHES: [(&str, &str); 6] = [
    ("lora-fa", "7 3"),
    ("lora-fa-projected", "2 2"),
    ("vera", "2 3"),
    ("delta-lora", "9 3 2 3"),
    ("lora-plus", "12 3"),
    ("dora", "4 2"),
];

/// How many hues there are for curves that are not of a method. Later curves have them once more, with other dashes.
const HUES: usize = 4;
/// The dashes of such curves.
const PLAIN_DASHES: [&str; 7] = ["", "7 3", "2 3", "9 3 2 3", "12 3", "4 2", "2 1"];

/// The class of a method, whose colour is the same in every chart, by the label that the name begins with.
///
/// ```
/// assert_eq!(picture::style::of_method("LoRA-FA, r = 8"), Some("lora-fa"));
/// assert_eq!(picture::style::of_method("layer 3"), None);
/// ```
#[must_use]
pub fn of_method(name: &str) -> Option<&'static str> {
    let methods = [
        ("LoRA-FA, projected", "lora-fa-projected"),
        ("LoRA-FA", "lora-fa"),
        ("LoRA+", "lora-plus"),
        ("Delta-LoRA", "delta-lora"),
        ("VeRA", "vera"),
        ("DoRA", "dora"),
        ("LoRA", "lora"),
        ("full", "full"),
    ];
    methods.iter().find(|(label, _)| name.starts_with(label)).map(|(_, class)| *class)
}

/// The class of a curve: its method's, or the next in turn.
#[must_use]
pub fn of_curve(name: &str, place: usize) -> String {
    let plain = || {
        let dash = place % PLAIN_DASHES.len();
        format!("curve-{} dash-{dash}", dash % HUES)
    };
    of_method(name).map_or_else(plain, str::to_owned)
}

/// The style sheet of a page with mdBook's themes.
#[must_use]
pub fn of_page() -> String {
    let [light, dark] = variables();
    format!(
        "/* Made by `cargo xtask regen` from crates/picture: the colours and marks of the pictures. */\n\
         :root {{\n{light}}}\n.coal, .navy, .ayu {{\n{dark}}}\n{}{RULES}",
        curves(),
    )
}

/// The style sheet of a file of its own, which follows the reader's light or dark setting.
#[must_use]
pub fn of_file() -> String {
    let [light, dark] = variables();
    format!(
        ":root {{\n{light}}}\n@media (prefers-color-scheme: dark) {{\n:root {{\n{dark}}}\n}}\n{}{RULES}",
        curves(),
    )
}

/// The colours on white, and on near-black.
fn variables() -> [String; 2] {
    let both = COLOURS.map(|(name, light, dark)| {
        [light, dark].map(|colour| format!("  --pic-{name}: {colour};\n"))
    });
    [0, 1].map(|theme| both.iter().map(|pair| pair[theme].as_str()).collect())
}

/// A rule for the lines, and one for the areas, of each colour of a chart.
fn curves() -> String {
    let mut rules = String::new();
    for (name, ..) in &COLOURS[7..] {
        let dash = DASHES.iter().find(|(dashed, _)| dashed == name);
        let dash = dash.map_or(String::new(), |(_, dash)| format!(" stroke-dasharray: {dash};"));
        // Writing into a String cannot fail.
        let _ = writeln!(rules, ".pic .line.{name} {{ stroke: var(--pic-{name});{dash} }}");
        let _ = writeln!(rules, ".pic .area.{name} {{ fill: var(--pic-{name}); }}");
    }
    for (i, dash) in PLAIN_DASHES.iter().enumerate().skip(1) {
        let _ = writeln!(rules, ".pic .line.dash-{i} {{ stroke-dasharray: {dash}; }}");
    }
    rules
}

/// What does not depend on a colour's value.
const RULES: &str = include_str!("pictures.css");

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance (WCAG 2).
    fn luminance(colour: &str) -> f64 {
        let channel = |place: usize| {
            let value = u8::from_str_radix(&colour[place..place + 2], 16).unwrap();
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    #[test]
    fn colours_stand_out_from_their_background() {
        let [_, (_, white, black), ..] = COLOURS;
        for (name, light, dark) in COLOURS {
            for (colour, paper) in [(light, white), (dark, black)] {
                let mut pair = [luminance(colour), luminance(paper)];
                pair.sort_by(f64::total_cmp);
                let contrast = (pair[1] + 0.05) / (pair[0] + 0.05);
                assert!(contrast >= 3.0 || ["paper", "grid"].contains(&name), "{name}: {contrast}");
            }
        }
    }

    #[test]
    fn what_is_no_method_has_hues_of_its_own() {
        let (methods, plain) = COLOURS.split_at(COLOURS.len() - HUES);
        for (name, light, dark) in plain {
            assert!(name.starts_with("curve-"), "{name}");
            assert!(methods.iter().all(|(_, l, d)| l != light && d != dark), "{name}");
        }
        assert_eq!(of_curve("layer 3", 5), "curve-1 dash-5");
        assert_eq!(of_curve("VeRA", 5), "vera");
    }
}
