//! One row of a weight under DoRA, in two dimensions: where it points and how long it is, and which way its gradient goes.

use adapter::Adapter;
use anyhow::Result;
use dora::Dora;
use lora::Lora;
use ndarray::{Array1, Array2, array};
use picture::{Anchor, Svg, figure};

use book::Page;

/// The classes of a line and its head.
const INK: [&str; 2] = ["line", "head"];
const MOVED: [&str; 2] = ["moved-line", "moved-head"];
/// Of a panel, in pixels; and pixels for 1.
const SIZE: [f64; 2] = [380.0, 350.0];
const UNIT: f64 = 110.0;
/// Where (0, 0) is in a panel.
const ORIGIN: [f64; 2] = [70.0, 320.0];

pub fn pages() -> Result<Vec<Page>> {
    // A = 1, so that s B A is B and ∂L/∂B is ∂L/∂V. With x = 1 the loss is ½ ‖W′ − wanted‖².
    let (weight, wanted) = (array![[1.9, 0.5]], array![[1.4, 3.0]]);
    let lora = Lora::new(Array2::eye(2), array![[-0.7, 0.7]], 1.0)?;
    let v = &weight + &lora.b;
    let dora = Dora::new(lora, array![2.3])?;
    let x = Array2::eye(2).into_shared();
    let (y, saved) = dora.forward(weight.view(), &x, None)?;
    let (_, grads) = dora.backward(weight.view(), &saved, (&y - &wanted.t()).view())?;

    let row = |matrix: &Array2<f64>| matrix.row(0).to_owned();
    let (weight, v, held) = (row(&weight), row(&v), -row(&grads.lora.b));
    let merged = y.column(0).to_owned();
    let unit = &v / v.dot(&v).sqrt();
    let along = &unit * held.dot(&unit); // what the whole gradient has not
    let whole = &held - &along;

    let zero = array![0.0, 0.0];
    let mut above =
        Panel::new("dora-row-forward", "LoRA turns W into V; m is the length of what is used.");
    above.arc(dora.magnitude[0]);
    above.arrow([&zero, &weight], INK, "W", [8.0, 5.0]);
    above.dashes([&weight, &v], "s B A", [10.0, -4.0]);
    above.arrow([&zero, &merged], MOVED, "m V/‖V‖", [-4.0, -12.0]);
    above.arrow([&zero, &v], INK, "V", [12.0, 10.0]);

    let mut below = Panel::new(
        "dora-row-backward",
        "The descent direction of V, with its length held and whole.",
    );
    let scale = 0.6; // of the gradient, so that it fits
    let tip = |step: &Array1<f64>| &v + &(step * scale);
    below.arrow([&zero, &v], INK, "V", [16.0, 10.0]);
    below.dashes([&tip(&whole), &tip(&held)], "left out", [-70.0, -2.0]);
    below.arrow([&v, &tip(&held)], MOVED, "‖V‖ held", [8.0, 0.0]);
    below.arrow([&v, &tip(&whole)], INK, "whole", [-52.0, 4.0]);

    let length = |vector: &Array1<f64>| vector.dot(vector).sqrt();
    let caption = format!(
        "One row of a weight with two inputs. First: LoRA turns W into V, and m, here {:.1}, is the length of what is used, \
         whatever the length of V ({:.2}). Second: the descent direction of V. With ‖V‖ held constant it has a part along V, \
         {:.2} beside {:.2} across; the whole gradient has no such part. Drawn by <code>cargo xtask regen</code>.",
        dora.magnitude[0],
        length(&v),
        length(&along),
        length(&whole),
    );
    Ok(vec![Page::rounded(
        "dora-row.svg.html",
        figure("charts", &[above.svg, below.svg], &caption),
    )])
}

struct Panel {
    svg: Svg,
}

impl Panel {
    fn new(id: &str, title: &str) -> Self {
        Self { svg: Svg::new(id, SIZE, title, "Arrows from the origin, in two dimensions.") }
    }

    fn arrow(&mut self, ends: [&Array1<f64>; 2], style: [&str; 2], label: &str, offset: [f64; 2]) {
        let [from, to] = ends.map(place);
        self.svg.arrow(style, from, to);
        self.text([to[0] + offset[0], to[1] + offset[1]], label);
    }

    fn dashes(&mut self, ends: [&Array1<f64>; 2], label: &str, offset: [f64; 2]) {
        let [from, to] = ends.map(place);
        self.svg.polyline("passing", [from, to]);
        let middle = [0, 1].map(|i| (from[i] + to[i]) / 2.0 + offset[i]);
        self.text(middle, label);
    }

    /// A quarter of the circle around (0, 0).
    fn arc(&mut self, radius: f64) {
        let [[x1, y1], [x2, y2]] =
            [array![radius, 0.0], array![0.0, radius]].map(|end| place(&end));
        let r = UNIT * radius;
        self.svg.path("thin", &format!("M{x1:.1} {y1:.1}A{r:.1} {r:.1} 0 0 0 {x2:.1} {y2:.1}"));
        self.text([x1 - 30.0, y1 + 20.0], "length m");
    }

    fn text(&mut self, at: [f64; 2], label: &str) {
        self.svg.text("halo", at, Anchor::Start, label);
    }
}

fn place(point: &Array1<f64>) -> [f64; 2] {
    [ORIGIN[0] + UNIT * point[0], ORIGIN[1] - UNIT * point[1]]
}
