//! One row of a weight under DoRA, in two dimensions: where it points and how long it is, and which way its gradient goes.

use std::fmt::Write;

use adapter::Adapter;
use anyhow::Result;
use dora::Dora;
use lora::Lora;
use ndarray::{Array1, Array2, array};

use crate::Page;
use crate::figure::inline;

const BLUE: &str = "#0072b2";
const ORANGE: &str = "#d55e00";
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

    let mut svg = format!(
        "<svg width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" xmlns=\"http://www.w3.org/2000/svg\" \
         font-family=\"sans-serif\" font-size=\"15\" fill=\"currentColor\">\n",
        SIZE[0],
        2.0 * SIZE[1],
    );
    let zero = array![0.0, 0.0];
    let turned = Panel { top: 0.0 };
    turned.arc(&mut svg, dora.magnitude[0])?;
    turned.arrow(&mut svg, [&zero, &weight], "currentColor", "W", [8.0, 5.0])?;
    turned.dashes(&mut svg, [&weight, &v], "s B A", [10.0, -4.0])?;
    turned.arrow(&mut svg, [&zero, &merged], ORANGE, "m V/‖V‖", [-4.0, -12.0])?;
    turned.arrow(&mut svg, [&zero, &v], BLUE, "V", [12.0, 10.0])?;

    let stepped = Panel { top: SIZE[1] };
    let scale = 0.6; // of the gradient, so that it fits
    let tip = |step: &Array1<f64>| &v + &(step * scale);
    stepped.arrow(&mut svg, [&zero, &v], BLUE, "V", [16.0, 10.0])?;
    stepped.dashes(&mut svg, [&tip(&whole), &tip(&held)], "left out", [-70.0, -2.0])?;
    stepped.arrow(&mut svg, [&v, &tip(&held)], ORANGE, "‖V‖ held", [8.0, 0.0])?;
    stepped.arrow(&mut svg, [&v, &tip(&whole)], "currentColor", "whole", [-52.0, 4.0])?;
    svg.push_str("</svg>\n");

    let length = |vector: &Array1<f64>| vector.dot(vector).sqrt();
    let caption = format!(
        "One row of a weight with two inputs. Above: LoRA turns W into V, and m, here {:.1}, is the length of what is used, \
         whatever the length of V ({:.2}). Below: the descent direction of V. With ‖V‖ held constant it has a part along V, \
         {:.2} beside {:.2} across; the whole gradient has no such part.",
        dora.magnitude[0],
        length(&v),
        length(&along),
        length(&whole),
    );
    Ok(vec![Page::rounded("dora-row.svg.html", inline(&svg, &caption))])
}

struct Panel {
    top: f64,
}

impl Panel {
    fn place(&self, point: &Array1<f64>) -> [f64; 2] {
        [ORIGIN[0] + UNIT * point[0], self.top + ORIGIN[1] - UNIT * point[1]]
    }

    fn arrow(
        &self,
        svg: &mut String,
        ends: [&Array1<f64>; 2],
        colour: &str,
        label: &str,
        offset: [f64; 2],
    ) -> Result<()> {
        let [[x1, y1], [x2, y2]] = ends.map(|end| self.place(end));
        // The head: 11 pixels long, 4 to each side.
        let length = (x2 - x1).hypot(y2 - y1);
        let (dx, dy) = ((x2 - x1) / length, (y2 - y1) / length);
        let (x, y) = (x2 - 11.0 * dx, y2 - 11.0 * dy);
        writeln!(
            svg,
            "<path d=\"M{x1:.1} {y1:.1}L{x:.1} {y:.1}\" stroke=\"{colour}\" stroke-width=\"2.5\"/>\n\
             <path d=\"M{x2:.1} {y2:.1}L{:.1} {:.1}L{:.1} {:.1}z\" fill=\"{colour}\"/>",
            x - 4.0 * dy,
            y + 4.0 * dx,
            x + 4.0 * dy,
            y - 4.0 * dx,
        )?;
        text(svg, [x2 + offset[0], y2 + offset[1]], label)
    }

    fn dashes(
        &self,
        svg: &mut String,
        ends: [&Array1<f64>; 2],
        label: &str,
        offset: [f64; 2],
    ) -> Result<()> {
        let [[x1, y1], [x2, y2]] = ends.map(|end| self.place(end));
        writeln!(
            svg,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"currentColor\" \
             stroke-width=\"1.5\" stroke-dasharray=\"5 4\"/>"
        )?;
        text(svg, [(x1 + x2) / 2.0 + offset[0], (y1 + y2) / 2.0 + offset[1]], label)
    }

    /// A quarter of the circle around (0, 0).
    fn arc(&self, svg: &mut String, radius: f64) -> Result<()> {
        let [[x1, y1], [x2, y2]] =
            [array![radius, 0.0], array![0.0, radius]].map(|end| self.place(&end));
        let r = UNIT * radius;
        writeln!(
            svg,
            "<path d=\"M{x1:.1} {y1:.1}A{r:.1} {r:.1} 0 0 0 {x2:.1} {y2:.1}\" fill=\"none\" stroke=\"currentColor\" \
             stroke-width=\"1\" opacity=\"0.5\"/>"
        )?;
        text(svg, [x1 - 30.0, y1 + 20.0], "length m")
    }
}

fn text(svg: &mut String, [x, y]: [f64; 2], label: &str) -> Result<()> {
    Ok(writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\">{label}</text>")?)
}
