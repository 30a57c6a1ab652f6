//! What a 2×2 matrix does to the unit circle: a turn, a stretch along two axes, a turn.

use std::f64::consts::TAU;

use anyhow::Result;
use ndarray::{Array1, array};

use crate::figure::{Chart, Line, figure};
use book::Page;

pub fn pages() -> Result<Vec<Page>> {
    let a = array![[1.6, 0.6], [0.2, 0.9]];
    let svd = rank::svd(a.view())?;
    let circle: Vec<Array1<f64>> =
        (0..=90).map(|i| TAU * f64::from(i) / 90.0).map(|t| array![t.cos(), t.sin()]).collect();
    let arrow = |name: &str, tip: Array1<f64>| {
        // The two signs of a singular vector are equally right: draw the one that points up.
        let tip = if tip[1] < 0.0 { -tip } else { tip };
        Line { name: name.into(), points: vec![(0.0, 0.0), (tip[0], tip[1])] }
    };
    let curve = |name: &str, points: Vec<Array1<f64>>| Line {
        name: name.into(),
        points: points.iter().map(|point| (point[0], point[1])).collect(),
    };
    let v = |i| svd.vt.row(i).to_owned();
    let stretched = |i| svd.u.column(i).to_owned() * svd.s[i];
    let chart = |title: &str, lines| Chart {
        title: title.into(),
        axes: ["".into(), "".into()],
        ranges: [-2.1..2.1, -1.5..1.5],
        log: false,
        square: true,
        lines,
    };
    let charts = [
        chart("x", vec![curve("|x| = 1", circle.clone()), arrow("v₁", v(0)), arrow("v₂", v(1))]),
        chart(
            "A x",
            vec![
                curve("A x", circle.iter().map(|x| a.dot(x)).collect()),
                arrow("σ₁ u₁", stretched(0)),
                arrow("σ₂ u₂", stretched(1)),
            ],
        ),
    ];
    let caption = format!(
        "The unit circle, and where A = [[1.6, 0.6], [0.2, 0.9]] sends it: σ₁ = {:.3}, σ₂ = {:.3}: a turn, a stretch along two axes, and a turn. \
         Drawn by <code>cargo xtask regen</code>.",
        svd.s[0], svd.s[1]
    );
    Ok(vec![Page::rounded("circle.svg.html", figure("circle", &caption, &charts))])
}
