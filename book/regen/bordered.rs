//! A weight with an adapter along its sides: what forward and backward multiply with it.

use anyhow::Result;
use picture::{Anchor, Role, Svg, figure};

use book::Page;

/// Pixels a number.
const SCALE: f64 = 2.0;
/// Of the layer, and of what runs through it.
const OUT: f64 = 96.0;
const INPUTS: f64 = 96.0;
const RANK: f64 = 8.0;
const TOKENS: f64 = 24.0;
/// The upper left corner of M, and the gap to what lies beside it and below it.
const CORNER: [f64; 2] = [44.0, 70.0];
const GAP: f64 = 18.0;

pub fn pages() -> Result<Vec<Page>> {
    let forward = Names {
        id: "bordered-forward",
        title: "forward: y = [x | h] · [W | sB]ᵀ",
        below: ["x", "h"],
        right: ["y", "h"],
        roles: [Role::Kept, Role::Passing],
    };
    let backward = Names {
        id: "bordered-backward",
        title: "backward: ∂x = [∂y | ∂h] · [W ; A]",
        below: ["∂x", "∂h"],
        right: ["∂y", "∂h"],
        roles: [Role::Gradient, Role::Gradient],
    };
    let caption = format!(
        "LoRA as one matrix with r more inputs and r more outputs, for a layer of {OUT} × {INPUTS}, r = {RANK} and {TOKENS} tokens. \
         What enters or leaves by the columns of M lies below it, what by the rows lies beside it. Forwards the last rows give h, which is \
         also an input; backwards the last columns give ∂h, which is one too. The dashed corner is not used. Drawn by <code>cargo xtask \
         regen</code>."
    );
    let drawings = [forward.draw(), backward.draw()];
    Ok(vec![Page::exact("gpu-bordered.svg.html", figure("frames", &drawings, &caption))])
}

/// What one of the two passes has where.
struct Names {
    id: &'static str,
    title: &'static str,
    /// Below W and below sB.
    below: [&'static str; 2],
    /// Beside W and beside A.
    right: [&'static str; 2],
    /// Of what is below, and of what is beside.
    roles: [Role; 2],
}

impl Names {
    fn draw(&self) -> Svg {
        let [x, y] = CORNER;
        let [out, inputs, rank, tokens] = [OUT, INPUTS, RANK, TOKENS].map(|n| n * SCALE);
        let (second_x, second_y) = (x + inputs, y + out);
        let (beside, under) = (second_x + rank + GAP, second_y + rank + GAP);
        let size = [beside + tokens + 44.0, under + tokens + 30.0];
        let described = "A square W, a tall strip sB on its right, a wide strip A below it.";
        let mut svg = Svg::new(self.id, size, self.title, described);
        svg.text("strong", [12.0, 24.0], Anchor::Start, self.title);

        svg.tensor(Role::Frozen, [x, y, inputs, out]);
        svg.tensor(Role::Trained, [second_x, y, rank, out]);
        svg.tensor(Role::Trained, [x, second_y, inputs, rank]);
        svg.tensor(Role::Passing, [second_x, second_y, rank, rank]);
        svg.rect("line", [x - 3.0, y - 3.0, inputs + rank + 6.0, out + rank + 6.0]);
        svg.name([x, y, inputs, out], "W");
        let label = |svg: &mut Svg, at, anchor, name| svg.formula("halo", at, anchor, name);
        label(&mut svg, [x - 12.0, y + 14.0], Anchor::End, "M");
        label(&mut svg, [second_x + rank / 2.0, y - 10.0], Anchor::Middle, "sB");
        label(&mut svg, [x - 12.0, second_y + rank / 2.0 + 6.0], Anchor::End, "A");

        let [role_below, role_beside] = self.roles;
        svg.tensor(role_below, [x, under, inputs, tokens]);
        svg.tensor(role_below, [second_x, under, rank, tokens]);
        svg.tensor(role_beside, [beside, y, tokens, out]);
        svg.tensor(role_beside, [beside, second_y, tokens, rank]);
        svg.name([x, under, inputs, tokens], self.below[0]);
        let at = [second_x + rank / 2.0, under + tokens + 18.0];
        label(&mut svg, at, Anchor::Middle, self.below[1]);
        svg.name([beside, y, tokens, out], self.right[0]);
        let at = [beside + tokens + 8.0, second_y + rank / 2.0 + 6.0];
        label(&mut svg, at, Anchor::Start, self.right[1]);

        // What comes out of M's last rows, or columns, and goes in again.
        let [by_row, by_column] =
            [[beside + 2.0, second_y + rank + 3.0], [second_x + rank + 3.0, under + 8.0]];
        let [from, to] = match role_beside {
            Role::Gradient => [by_column, by_row],
            _ => [by_row, by_column],
        };
        svg.arrow(["line", "head"], from, to);
        svg
    }
}
