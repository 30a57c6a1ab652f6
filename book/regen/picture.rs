//! A picture and its best approximations of rank 1, 2, 4, …

use std::fmt::Write;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use live::scene::{SIZE, scene};
use ndarray::Array2;

use crate::figure::inline;
use book::Page;

const RANKS: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 96];

pub fn pages() -> Result<Vec<Page>> {
    let picture = scene();
    let svd = rank::svd(picture.view())?;
    let (height, width) = SIZE;
    let (cell_width, cell_height) = (width + 62, height + 76);
    let mut svg = format!(
        "<svg width=\"{}\" height=\"{}\" viewBox=\"0 0 {0} {1}\" xmlns=\"http://www.w3.org/2000/svg\">\n",
        4 * cell_width,
        2 * cell_height,
    );
    let mut table = String::from(
        "| k | numbers kept | of 12,288 | $\\sigma_{k+1}$ | relative error |\n|--:|--:|--:|--:|--:|\n",
    );
    for (i, &k) in RANKS.iter().enumerate() {
        let best = svd.truncate(k)?;
        let (x, y) = (i % 4 * cell_width, i / 4 * cell_height);
        writeln!(
            svg,
            "<image x=\"{x}\" y=\"{y}\" width=\"180\" height=\"135\" href=\"data:image/png;base64,{}\"/>\n\
             <text x=\"{x}\" y=\"{}\" font-family=\"sans-serif\" font-size=\"15\" fill=\"currentColor\">rank {k}</text>",
            STANDARD.encode(png(&best.matrix)?),
            y + 155,
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
    svg.push_str("</svg>\n");
    let caption =
        "A picture of 96×128 pixels is a matrix. Its best approximations of rank 1 to 96.";
    Ok(vec![
        Page::exact("picture.svg.html", inline(&svg, caption)),
        Page::rounded("picture.md", table),
    ])
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
