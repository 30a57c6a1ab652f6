//! What a 2×2 matrix does to the unit circle: a turn, a stretch along two axes, a turn.

use std::f64::consts::TAU;

use anyhow::Result;
use ndarray::{Array1, Array2, array};

use book::Page;
use book::figure::{Chart, Line, figure};

pub fn pages() -> Result<Vec<Page>> {
    let a = array![[1.6, 0.6], [0.2, 0.9]];
    Ok(vec![Page::rounded("svd-steps.svg.html", steps(&a)?)])
}

/// x, Vᵀx, ΣVᵀx and UΣVᵀx of the circle and of the two directions that stay at right angles.
fn steps(a: &Array2<f64>) -> Result<String> {
    let svd = turns(rank::svd(a.view())?);
    let matrices =
        [Array2::eye(2), svd.vt.clone(), Array2::from_diag(&svd.s).dot(&svd.vt), a.clone()];
    let titles = ["1. x", "2. turned: Vᵀx", "3. stretched: ΣVᵀx", "4. turned again: UΣVᵀx = Ax"];
    let circle: Vec<Array1<f64>> =
        (0..=90).map(|i| TAU * f64::from(i) / 90.0).map(|t| array![t.cos(), t.sin()]).collect();
    let chart = |(title, matrix): (&str, &Array2<f64>)| {
        let points = |tips: &[Array1<f64>]| -> Vec<(f64, f64)> {
            tips.iter().map(|tip| matrix.dot(tip)).map(|tip| (tip[0], tip[1])).collect()
        };
        let to = |i| points(&[array![0.0, 0.0], svd.vt.row(i).to_owned()]);
        let last = title.ends_with("Ax");
        let [all, first, second] =
            if last { ["all A x", "σ₁ u₁", "σ₂ u₂"] } else { ["all x", "v₁", "v₂"] };
        Chart {
            title: title.into(),
            axes: ["".into(), "".into()],
            ranges: [-2.1..2.1, -1.5..1.5],
            log: false,
            square: true,
            lines: vec![
                Line { name: all.into(), points: points(&circle) },
                Line { name: first.into(), points: to(0) },
                Line { name: second.into(), points: to(1) },
            ],
        }
    };
    let charts: Vec<Chart> = titles.into_iter().zip(&matrices).map(chart).collect();
    let caption = format!(
        "A = [[1.6, 0.6], [0.2, 0.9]] in three steps. The first turn brings v₁ and v₂ onto the axes; the stretch makes the one {:.3} and the other {:.3} long; the second turn brings \
         them to their places. They are at right angles in all four pictures, and in the last they are the axes of the ellipse.",
        svd.s[0], svd.s[1]
    );
    Ok(figure("svd-steps", &caption, &charts))
}

/// With signs by which V and U are turns, and no reflections, and v₁ points up. Of a matrix whose determinant is positive.
fn turns(mut svd: rank::Svd) -> rank::Svd {
    let v = &svd.vt;
    let down = v[[0, 1]] < 0.0;
    let reflects = v[[0, 0]] * v[[1, 1]] - v[[0, 1]] * v[[1, 0]] < 0.0;
    // To turn one of the two round makes a reflection of a turn, and the reverse.
    for (i, round) in [down, reflects != down].into_iter().enumerate() {
        if round {
            svd.vt.row_mut(i).mapv_inplace(|x| -x);
            svd.u.column_mut(i).mapv_inplace(|x| -x);
        }
    }
    svd
}
