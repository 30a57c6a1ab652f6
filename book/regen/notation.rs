//! The marks of the pictures, and how thin a rank of 8 is beside real weights.

use anyhow::Result;
use indicatif::HumanCount;
use llama::{Config, Projection};
use picture::{Anchor, LEAST, Role, Svg, figure, thickness};

use crate::layer::RANK;
use book::Page;
use book::costs::{llama2_7b, smollm2};

/// Pixels a number, of the picture of two models.
const SCALE: f64 = 240.0 / 4096.0;

pub fn pages() -> Result<Vec<Page>> {
    Ok(vec![
        Page::exact("marks.svg.html", figure("frames", &[weights(), data()], MARKS)),
        Page::exact("true-to-scale.svg.html", true_to_scale()),
    ])
}

const MARKS: &str = "The marks. Colour is never the only one: a pattern, a border, a ribbon or a dash says the same. \
                     Drawn by <code>cargo xtask regen</code>.";

fn rows(svg: &mut Svg, rows: &[(Option<Role>, &str, &str)]) {
    for (i, (role, first, second)) in rows.iter().enumerate() {
        let y = 44.0 + 58.0 * i as f64;
        let place = [16.0, y, 52.0, 38.0];
        match role {
            Some(role) => svg.tensor(*role, place),
            None => {
                svg.tensor(Role::Frozen, place);
                svg.moved(place, [-8.0, -8.0]);
            }
        }
        svg.text("strong", [84.0, y + 16.0], Anchor::Start, first);
        svg.text("", [84.0, y + 34.0], Anchor::Start, second);
    }
}

fn weights() -> Svg {
    let mut svg = Svg::new(
        "marks-weights",
        [320.0, 280.0],
        "Marks of weights",
        "Frozen, shared, trained, moved.",
    );
    svg.text("strong big", [12.0, 24.0], Anchor::Start, "Weights");
    rows(
        &mut svg,
        &[
            (Some(Role::Frozen), "frozen", "grey, hatched"),
            (Some(Role::Shared), "shared by layers", "hatched, with a border"),
            (Some(Role::Trained), "trained", "blue, dotted; a strip is solid"),
            (None, "moved by a rule of its own", "its outline, displaced"),
        ],
    );
    svg
}

fn data() -> Svg {
    let text = "Kept, not kept, gradient.";
    let mut svg = Svg::new("marks-data", [320.0, 280.0], "Marks of data", text);
    svg.text("strong big", [12.0, 24.0], Anchor::Start, "Data");
    rows(
        &mut svg,
        &[
            (Some(Role::Kept), "kept for the backward pass", "purple, striped, a ribbon"),
            (Some(Role::Passing), "gone after its use", "empty, short dashes"),
            (Some(Role::Gradient), "gradient, Adam's average", "empty, long blue dashes"),
        ],
    );
    svg.arrow(["line", "head"], [16.0, 236.0], [68.0, 236.0]);
    svg.text("strong", [84.0, 233.0], Anchor::Start, "goes into a product");
    svg.text("", [84.0, 251.0], Anchor::Start, "an arrow");
    svg
}

/// q of two models at one scale, with the A and B of rank 8.
fn true_to_scale() -> String {
    let svgs = [
        layer("SmolLM2-135M", "scale-smollm2", &smollm2()),
        layer("Llama-2-7B", "scale-llama", &llama2_7b()),
    ];
    let caption = format!(
        "<code>q_proj</code> of two models at one scale, with the A and B of rank {RANK}. At this scale a rank of {RANK} is {:.2} pixels; it is \
         drawn {LEAST} pixels wide, {:.0} times as wide as it is. The wider the model, the smaller the share that is trained. \
         Drawn by <code>cargo xtask regen</code>.",
        RANK as f64 * SCALE,
        LEAST / (RANK as f64 * SCALE),
    );
    figure("frames", &svgs, &caption)
}

fn layer(name: &str, id: &str, config: &Config) -> Svg {
    let [out, inputs] = Projection::Q.shape(config);
    let (all, trained) = (out * inputs, RANK * (out + inputs));
    let share = format!("{:.2}%", 100.0 * trained as f64 / all as f64);
    let text = format!(
        "W has {out} rows and {inputs} columns. A and B of rank {RANK} have {share} as many numbers."
    );
    let [height, width, r] = [out, inputs, RANK].map(|numbers| thickness(numbers, SCALE));
    let [left, bottom] = [20.0, 64.0 + height];
    let mut svg = Svg::new(id, [320.0, bottom + 96.0], name, &text);
    svg.text("strong big", [12.0, 24.0], Anchor::Start, name);
    let w = [left, bottom - height, width, height];
    svg.tensor(Role::Frozen, w);
    let b = [left + width + 8.0, bottom - height, r, height];
    svg.tensor(Role::Trained, b);
    svg.formula("halo", [b[0] + 10.0, b[1] + height / 2.0 + 6.0], Anchor::Start, "B");
    svg.tensor(Role::Trained, [left, bottom + 8.0, width, r]);
    svg.formula("halo", [left + width + 18.0, bottom + 16.0], Anchor::Start, "A");
    if width > 60.0 {
        svg.name(w, "W");
    } else {
        svg.formula("halo", [left, bottom - height - 10.0], Anchor::Start, "W");
    }
    let count = |numbers: usize| HumanCount(numbers as u64).to_string();
    let rows = [
        (format!("W, {out} × {inputs}"), count(all)),
        (format!("A and B, r = {RANK}"), count(trained)),
        ("as a share of W".to_owned(), share),
    ];
    for (i, (what, value)) in rows.iter().enumerate() {
        let y = bottom + 42.0 + 19.0 * i as f64;
        svg.text("", [12.0, y], Anchor::Start, what);
        svg.text("strong", [308.0, y], Anchor::End, value);
    }
    svg
}
