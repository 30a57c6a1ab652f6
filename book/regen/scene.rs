//! A picture, drawn by rays, and its best approximations of rank 1, 2, 4, …

use std::fmt::Write;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ndarray::Array2;

use book::Page;

const SIZE: (usize, usize) = (96, 128);
const RANKS: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 96];

pub fn pages() -> Result<Vec<Page>> {
    let picture = scene();
    let svd = rank::svd(picture.view())?;
    let (height, width) = SIZE;
    let mut figure = String::from("<figure class=\"pics images\">\n<div class=\"drawings\">\n");
    let mut table = String::from(
        "| k | numbers kept | of 12,288 | $\\sigma_{k+1}$ | relative error |\n|--:|--:|--:|--:|--:|\n",
    );
    for k in RANKS {
        let best = svd.truncate(k)?;
        writeln!(
            figure,
            "<div><img width=\"{width}\" height=\"{height}\" alt=\"the picture at rank {k}\" \
             src=\"data:image/png;base64,{}\"/>rank {k}</div>",
            STANDARD.encode(png(&best.matrix)?),
        )?;
        let numbers = k * (height + width + 1);
        writeln!(
            table,
            "| {k} | {} | {:.1}% | {:.3} | {:.1}% |",
            indicatif::HumanCount(numbers as u64),
            100.0 * numbers as f64 / (height * width) as f64,
            // At the full rank nothing is left but rounding.
            if best.spectral_error < 1e-9 { 0.0 } else { best.spectral_error },
            100.0 * best.frobenius_error / svd.frobenius_norm(),
        )?;
    }
    figure.push_str(
        "</div>\n<figcaption>A picture of 96×128 pixels is a matrix. Its best approximations of rank 1 to 96: the ball is there at \
         rank 8, its shadow at 16. Drawn by <code>cargo xtask regen</code>.</figcaption>\n</figure>\n",
    );
    Ok(vec![Page::exact("picture.svg.html", figure), Page::rounded("picture.md", table)])
}

/// A ball on a tiled floor, lit from the upper left: brightness from 0 to 1, [96, 128].
fn scene() -> Array2<f64> {
    let (height, width) = SIZE;
    Array2::from_shape_fn(SIZE, |(row, column)| {
        let scale = 2.4 / width as f64;
        let x = (column as f64 + 0.5 - width as f64 / 2.0) * scale;
        let y = (height as f64 / 2.0 - row as f64 - 0.5) * scale;
        shade(normalize([x, y - 0.15, -1.6]))
    })
}

const EYE: [f64; 3] = [0.0, 0.75, 3.2];
const CENTRE: [f64; 3] = [0.0, 0.3, 0.0];
const RADIUS: f64 = 0.8;
const FLOOR: f64 = -0.5;

/// The brightness seen from the eye in a direction.
fn shade(ray: [f64; 3]) -> f64 {
    let light = normalize([-0.6, 0.9, 0.5]);
    if let Some(distance) = hit_ball(EYE, ray) {
        let point = along(EYE, ray, distance);
        let normal = normalize(std::array::from_fn(|i| point[i] - CENTRE[i]));
        return 0.12 + 0.83 * dot(normal, light).max(0.0);
    }
    if ray[1] >= 0.0 {
        return 0.85 - 0.5 * ray[1];
    }
    let point = along(EYE, ray, (FLOOR - EYE[1]) / ray[1]);
    let dark = ((point[0] / 0.7).floor() + (point[2] / 0.7).floor()).rem_euclid(2.0) == 0.0;
    let tile = if dark { 0.35 } else { 0.75 };
    let shadow = if hit_ball(point, light).is_some() { 0.35 } else { 1.0 };
    // Tiles fade into the distance.
    let fade = (-point[2] / 12.0).clamp(0.0, 1.0);
    tile * shadow * (1.0 - fade) + 0.6 * fade
}

/// How far along a ray of length 1 the ball is first met.
fn hit_ball(from: [f64; 3], ray: [f64; 3]) -> Option<f64> {
    let to: [f64; 3] = std::array::from_fn(|i| CENTRE[i] - from[i]);
    let nearest = dot(to, ray);
    let inside = RADIUS * RADIUS - (dot(to, to) - nearest * nearest);
    (nearest > 0.0 && inside > 0.0).then(|| nearest - inside.sqrt())
}

fn along(from: [f64; 3], ray: [f64; 3], distance: f64) -> [f64; 3] {
    std::array::from_fn(|i| from[i] + distance * ray[i])
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn normalize(v: [f64; 3]) -> [f64; 3] {
    let length = dot(v, v).sqrt();
    v.map(|x| x / length)
}

fn png(picture: &Array2<f64>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let (height, width) = picture.dim();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_compression(png::Compression::High);
    let pixels: Vec<u8> =
        picture.iter().map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8).collect();
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(bytes)
}
