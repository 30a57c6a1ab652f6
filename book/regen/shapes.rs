//! Drawings of shapes: a linear layer, the seven matrices of a decoder layer, VeRA's shared pair, Delta-LoRA's whole change.

use anyhow::Result;
use indicatif::HumanCount;
use llama::Projection;
use methods::Row;
use picture::style::of_curve;
use picture::{Anchor, LEAST, Role, Svg, figure, thickness};

use crate::layer::{RANK, TOKENS, VERA_RANK};
use book::Page;
use book::costs::smollm2;

const DRAWN: &str = "Drawn by <code>cargo xtask regen</code>.";

pub fn pages() -> Result<Vec<Page>> {
    Ok(vec![
        Page::exact("linear-layer.svg.html", linear_layer()),
        Page::exact("seven-matrices.svg.html", seven_matrices()),
        Page::exact("vera-shared.svg.html", vera_shared()),
        Page::exact("delta-lora-factors.svg.html", delta_factors()),
        Page::exact("methods-curves.svg.html", curves()),
    ])
}

/// One entry of y: a row of x and a row of W.
fn linear_layer() -> String {
    let text = "x lies below W, y right of x. A row of x and a row of W give one entry of y.";
    let mut svg = Svg::new("linear-layer", [320.0, 230.0], "y = x Wᵀ", text);
    let scale = 120.0 / 576.0;
    let [side, tokens] = [576, TOKENS].map(|numbers| thickness(numbers, scale));
    let w = [16.0, 12.0, side, side];
    let x = [16.0, w[1] + side + 18.0, side, tokens];
    let y = [w[0] + side + 40.0, x[1], side, tokens];
    svg.tensor(Role::Frozen, w);
    svg.tensor(Role::Passing, x);
    svg.tensor(Role::Passing, y);
    // Row j of W is column j of y; row t of x is row t of y.
    let (t, j) = (20.0, 84.0);
    svg.rect("head", [x[0], x[1] + t, side, LEAST]);
    svg.rect("head", [w[0], w[1] + j, side, LEAST]);
    svg.rect("head", [y[0] + j, y[1] + t, LEAST + 2.0, LEAST + 2.0]);
    svg.path(
        "passing",
        &format!("M{:.1} {:.1}H{:.1}V{:.1}", w[0] + side, w[1] + j, y[0] + j + 2.0, y[1] + t),
    );
    svg.path("passing", &format!("M{:.1} {:.1}H{:.1}", x[0] + side, y[1] + t + 2.0, y[0] + j));
    svg.formula("halo", [w[0] + side + 8.0, w[1] + j - 6.0], Anchor::Start, "row j of W");
    svg.formula("halo", [x[0] + 8.0, x[1] + t + 22.0], Anchor::Start, "row t of x");
    svg.formula("halo", [y[0] + j + 10.0, y[1] + t + 22.0], Anchor::Middle, "y_t_j");
    svg.formula("halo", [w[0] + 10.0, w[1] + 26.0], Anchor::Start, "W");
    let caption = format!(
        "A linear layer. Row t of x, times row j of W, is one entry of y; row j of W is what column j of y is made with. {DRAWN}"
    );
    figure("frames", &[svg], &caption)
}

fn seven_matrices() -> String {
    let config = smollm2();
    let scale = 0.068;
    let mut svg = Svg::new(
        "seven-matrices",
        [440.0, 300.0],
        "The seven matrices of a layer of SmolLM2-135M",
        "Areas true to the numbers: attention's four are smaller than the MLP's three.",
    );
    let sizes = Projection::ALL.map(|projection| {
        let [out, inputs] = projection.shape(&config);
        (projection, out, inputs)
    });
    let rows: [(&str, &[Projection]); 2] = [
        ("attention", &[Projection::Q, Projection::K, Projection::V, Projection::O]),
        ("MLP", &[Projection::Gate, Projection::Up, Projection::Down]),
    ];
    let mut top = 44.0;
    for (name, row) in rows {
        let of_row = || sizes.iter().filter(|(projection, ..)| row.contains(projection));
        let numbers: usize = of_row().map(|(_, out, inputs)| out * inputs).sum();
        let title = format!("{name}: {} numbers", HumanCount(numbers as u64));
        svg.text("strong", [12.0, top - 12.0], Anchor::Start, &title);
        let mut left = 12.0;
        let mut lowest: f64 = 0.0;
        for &(projection, out, inputs) in of_row() {
            let [height, width] = [out, inputs].map(|numbers| thickness(numbers, scale));
            svg.tensor(Role::Frozen, [left, top, width, height]);
            let label = projection.name().trim_end_matches("_proj");
            svg.text("small", [left, top + height + 17.0], Anchor::Start, label);
            svg.text(
                "small",
                [left, top + height + 33.0],
                Anchor::Start,
                &format!("{out}×{inputs}"),
            );
            left += width.max(70.0) + 22.0;
            lowest = lowest.max(height);
        }
        top += lowest + 76.0;
    }
    let caption = format!(
        "The seven matrices of one of SmolLM2's {} layers, their areas true to their numbers. The MLP holds more than all of attention. {DRAWN}",
        config.num_hidden_layers
    );
    figure("charts", &[svg], &caption)
}

/// One A and one B, and three of the layers that use them.
fn vera_shared() -> String {
    let layers = smollm2().num_hidden_layers;
    let text = format!(
        "One A and one B, each drawn once, with lines to {layers} layers, each with a W and two vectors of its own."
    );
    let mut svg = Svg::new("vera-shared", [440.0, 300.0], "VeRA's one pair for all layers", &text);
    let scale = 80.0 / 576.0;
    let [side, r, thin] = [576, VERA_RANK, 1].map(|numbers| thickness(numbers, scale));
    let a = [130.0, 24.0, side, r];
    let b = [250.0, 10.0, r, side];
    svg.tensor(Role::Shared, a);
    svg.name(a, "A");
    svg.tensor(Role::Shared, b);
    svg.name(b, "B");
    for (i, left) in [24.0, 164.0, 304.0].into_iter().enumerate() {
        let top = 160.0;
        let w = [left, top, side, side];
        for (x, y) in [(a[0] + side / 2.0, a[1] + r + 3.0), (b[0] + r / 2.0, b[1] + side + 3.0)] {
            svg.path("tie", &format!("M{x:.1} {y:.1}L{:.1} {:.1}", left + side / 2.0, top - 4.0));
        }
        svg.tensor(Role::Frozen, w);
        let number = if i < 2 { (i + 1).to_string() } else { layers.to_string() };
        svg.name(w, &format!("layer {number}"));
        svg.tensor(Role::Trained, [left + side + 8.0, top, thin, side]);
        svg.formula("halo", [left + side + 16.0, top + side / 2.0 + 5.0], Anchor::Start, "b");
        svg.tensor(Role::Trained, [left, top + side + 8.0, r, thin]);
        svg.formula("halo", [left + r + 8.0, top + side + 15.0], Anchor::Start, "d");
    }
    svg.text("strong", [289.0, 206.0], Anchor::Middle, "…");
    let caption = format!(
        "A and B are drawn once, in the picture as in the program: the lines go to the layers that use them. A layer has its own W, and trains \
         its own b and d. Shapes of <code>q_proj</code> of SmolLM2-135M, r = {VERA_RANK}. {DRAWN}"
    );
    figure("charts", &[svg], &caption)
}

/// W_T − W_0 as one product of inner dimension 2r.
fn delta_factors() -> String {
    let text = "W_T less W_0 is a tall matrix of 2r columns times a wide one of 2r rows.";
    let mut svg = Svg::new("delta-factors", [440.0, 190.0], "All of W's moves together", text);
    let side = 110.0;
    let r = 16.0;
    let top = 34.0;
    let w = [22.0, top, side, side];
    svg.tensor(Role::Frozen, w);
    svg.moved(w, [-9.0, -9.0]);
    svg.name(w, "W_T − W_0");
    svg.formula("", [148.0, top + side / 2.0 + 6.0], Anchor::Start, "= λ s");
    let tall = 204.0;
    svg.tensor(Role::Trained, [tall, top, r, side]);
    svg.tensor(Role::Frozen, [tall + r + 4.0, top, r, side]);
    svg.formula("halo", [tall + r / 2.0, top - 8.0], Anchor::Middle, "B_T");
    svg.formula("halo", [tall + r * 1.5 + 12.0, top + side + 20.0], Anchor::Middle, "−B_K");
    let wide = tall + 2.0 * r + 26.0;
    let middle = top + side / 2.0 - r - 2.0;
    svg.tensor(Role::Trained, [wide, middle, side, r]);
    svg.tensor(Role::Frozen, [wide, middle + r + 4.0, side, r]);
    svg.formula("halo", [wide + side + 8.0, middle + r / 2.0 + 5.0], Anchor::Start, "A_T");
    svg.formula("halo", [wide + side + 8.0, middle + r * 1.5 + 10.0], Anchor::Start, "A_K");
    let caption = format!(
        "All that happened to W between update K and update T is one product whose inner dimension is 2r, here {}: whatever happened on the way has \
         dropped out. Not to scale: at the scale of W the factors would be lines. {DRAWN}",
        2 * RANK
    );
    figure("charts", &[svg], &caption)
}

/// Each method's colour and dashes, and the hues of what is no method.
fn curves() -> String {
    let rows = Row::all();
    let height = 26.0 * (1.0 + rows.len().div_ceil(2) as f64) + 16.0;
    let text =
        "Each method's line as all charts have it, and below them those of what is no method.";
    let mut svg = Svg::new("methods-curves", [360.0, height], "The methods' lines", text);
    for (i, row) in rows.iter().enumerate() {
        let [x, y] = [16.0 + 160.0 * (i % 2) as f64, 24.0 + 26.0 * (i / 2) as f64];
        let class = of_curve(row.label, i);
        svg.path(&format!("line {class}"), &format!("M{x:.1} {y:.1}h36"));
        svg.text("", [x + 44.0, y + 5.0], Anchor::Start, row.label);
    }
    let y = height - 18.0;
    for i in 0..4 {
        let class = of_curve("no method", i);
        svg.path(&format!("line {class}"), &format!("M{:.1} {y:.1}h36", 16.0 + 46.0 * i as f64));
    }
    svg.text("", [204.0, y + 5.0], Anchor::Start, "what is no method");
    let caption = "The line of each method, in all charts. The four hues in the last row are no method's: curves and bars have them where methods are not compared.";
    figure("frames", &[svg], &format!("{caption} {DRAWN}"))
}
