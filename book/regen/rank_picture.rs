//! A product of a tall and a wide matrix is a sum of outer products.

use anyhow::Result;
use picture::{Anchor, Role, Svg, figure, thickness};

use book::Page;

/// The numbers of a side of the square, and the rank.
const WIDTH: usize = 12;
const RANK: usize = 3;
const SCALE: f64 = 10.0;
pub fn pages() -> Result<Vec<Page>> {
    let caption = format!(
        "A matrix of rank {RANK}, with {WIDTH} rows and columns, is B A. Each column of B and the row of A with the same number make one whole \
         matrix, and the {RANK} add up. The product has {} numbers, and B and A together {}. Drawn by <code>cargo xtask regen</code>.",
        WIDTH * WIDTH,
        2 * RANK * WIDTH,
    );
    let names = ["b₁ a₁", "b₂ a₂", "b₃ a₃"];
    let factors = [Role::Passing, Role::Trained, Role::Trained];
    let rank = [product(), sum("rank-sum", names, factors, "r outer products, each of rank 1")];
    let tokens = ["G₁ᵀ x₁", "G₂ᵀ x₂", "G₃ᵀ x₃"];
    let parts = [Role::Gradient, Role::Gradient, Role::Kept];
    let gradient = [sum("gradient-sum", tokens, parts, "one outer product for each token")];
    let gradient_caption = "The gradient of W for three tokens: each token gives a column, its row of G, times a row, its x, which was kept. Three tokens make a gradient of rank 3 \
                            at most, whatever the size of W. Drawn by <code>cargo xtask regen</code>.";
    Ok(vec![
        Page::exact("rank.svg.html", figure("frames", &rank, &caption)),
        Page::exact("gradient-sum.svg.html", figure("frames", &gradient, gradient_caption)),
    ])
}

fn product() -> Svg {
    let mut svg = Svg::new(
        "rank-product",
        [320.0, 204.0],
        "B A",
        "A tall B beside the square product, a wide A below it.",
    );
    let [side, r] = [WIDTH, RANK].map(|numbers| thickness(numbers, SCALE));
    let [left, top] = [50.0, 30.0];
    svg.tensor(Role::Passing, [left, top, side, side]);
    svg.name([left, top, side, side], "B A");
    svg.tensor(Role::Trained, [left, top + side + 12.0, side, r]);
    svg.name([left, top + side + 12.0, side, r], "A");
    svg.tensor(Role::Trained, [left + side + 12.0, top, r, side]);
    svg.name([left + side + 12.0, top, r, side], "B");
    svg.text("", [left + side + 12.0, top + side + 12.0 + r / 2.0 + 5.0], Anchor::Start, "r rows");
    svg.text("", [left + side + r + 22.0, top + side / 2.0 + 5.0], Anchor::Start, "r columns");
    svg
}

/// Outer products side by side; the marks are of a product, of its column and of its row.
fn sum(id: &str, names: [&str; RANK], [product, column, row]: [Role; 3], text: &str) -> Svg {
    let mut svg = Svg::new(id, [320.0, 164.0], "a sum of outer products", text);
    let scale = 5.5;
    let [side, thin] = [WIDTH, 1].map(|numbers| thickness(numbers, scale));
    for (i, name) in names.into_iter().enumerate() {
        let left = 26.0 + 102.0 * i as f64;
        let top = 30.0;
        svg.tensor(product, [left, top, side, side]);
        svg.tensor(row, [left, top + side + 5.0, side, thin]);
        svg.tensor(column, [left + side + 5.0, top, thin, side]);
        svg.name([left, top, side, side], name);
        if i > 0 {
            svg.text("big", [left - 13.0, top + side / 2.0 + 6.0], Anchor::Middle, "+");
        }
    }
    svg.text("", [160.0, 148.0], Anchor::Middle, text);
    svg
}
