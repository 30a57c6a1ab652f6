//! The singular values of a real model's weights.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use llama::load::load;
use llama::{Llama, Projection};
use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rank::{Svd, Tolerance};

use book::Page;
use book::figure::{Chart, Line, figure};

const LAYER: usize = 15;

pub fn pages(path: &Path) -> Result<Vec<Page>> {
    let model = load::<f32>(path)?.model;
    let of = |layer: usize, projection| svd_of(&model, layer, projection);
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut random = |shape| {
        let matrix = Array2::from_shape_simple_fn(shape, || StandardNormal.sample(&mut rng));
        rank::svd(matrix.view())
    };
    let (square, tall, wide) = (random((576, 576))?, random((1536, 576))?, random((192, 576))?);

    let mut middle = Vec::new();
    for projection in Projection::ALL {
        middle.push((format!("`{projection}`"), of(LAYER, projection)?));
    }
    let mut table = String::from(
        "| matrix | shape | rank | effective rank | stable rank | error of rank 8 | rank for an error of 10% |\n\
         |---|---|--:|--:|--:|--:|--:|\n",
    );
    let measured = middle.iter().map(|(name, svd)| (name.as_str(), svd));
    for (name, svd) in measured.chain([("random", &square), ("random", &wide), ("random", &tall)]) {
        writeln!(table, "| {name} {}", row(svd)?)?;
    }

    let q = Projection::Q;
    let layers = [("layer 0", of(0, q)?), ("layer 15", of(LAYER, q)?), ("layer 29", of(29, q)?)];
    let shapes = [square.s.len(), wide.s.len()];
    let of_middle = |count: usize| {
        let curves = middle.iter().filter(move |(_, svd)| svd.s.len() == count);
        curves.map(|(name, svd)| line(name.trim_matches('`'), svd))
    };
    let charts = [
        chart("Layer 15", shapes[0], of_middle(shapes[0]).collect()),
        chart(
            "Layer 15: keys and values",
            shapes[1],
            [line("random matrix", &wide)].into_iter().chain(of_middle(shapes[1])).collect(),
        ),
        chart(
            "q_proj of three layers",
            shapes[0],
            [line("random matrix", &square)]
                .into_iter()
                .chain(layers.iter().map(|(name, svd)| line(name, svd)))
                .collect(),
        ),
    ];
    let caption = "Singular values of SmolLM2-135M-Instruct's weights, relative to the largest. The random matrices have the shape of the others in their picture. Keys and values have 192 \
                   rows, and so many singular values. No curve has a step at which one could cut.";
    Ok(vec![
        Page::rounded("spectra-smollm2.md", table),
        Page::rounded("spectra-smollm2.svg.html", figure("spectra-smollm2", caption, &charts)),
    ])
}

fn svd_of(model: &Llama<f32>, layer: usize, projection: Projection) -> Result<Svd> {
    let weight = model.layers[layer].weight(projection).mapv(f64::from);
    Ok(rank::svd(weight.view())?)
}

fn row(svd: &Svd) -> Result<String> {
    let relative =
        |k: usize| -> Result<f64> { Ok(svd.truncate(k)?.frobenius_error / svd.frobenius_norm()) };
    // √Σ of the squares that are left, from the smallest up.
    let total = svd.frobenius_norm();
    let mut left = 0.0;
    let dropped = svd.s.iter().rev().take_while(|&&sigma| {
        left = f64::hypot(left, sigma);
        left <= 0.1 * total
    });
    Ok(format!(
        "| `[{}, {}]` | {} | {:.1} | {:.2} | {:.1}% | {} |",
        svd.u.nrows(),
        svd.vt.ncols(),
        svd.rank(Tolerance::Numpy),
        svd.effective_rank(),
        svd.stable_rank(),
        100.0 * relative(8)?,
        svd.s.len() - dropped.count(),
    ))
}

fn line(name: &str, svd: &Svd) -> Line {
    let relative = svd.s.iter().map(|sigma| sigma / svd.s[0]);
    Line {
        name: name.into(),
        points: relative.enumerate().map(|(i, s)| ((i + 1) as f64, s)).collect(),
    }
}

fn chart(title: &str, count: usize, lines: Vec<Line>) -> Chart {
    Chart {
        title: title.into(),
        axes: ["number of the singular value".into(), "σ / σ₁".into()],
        ranges: [0.0..count as f64, 1e-3..1.5],
        log: true,
        square: false,
        lines,
    }
}
