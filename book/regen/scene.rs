//! A picture and its best approximations of rank 1, 2, 4, …

use std::fmt::Write;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use live::scene::{SIZE, scene};
use ndarray::Array2;

use book::Page;

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
