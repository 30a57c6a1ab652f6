//! Pictures of what the examples print: the numbers are read from the text that stands beside them in the book.

use anyhow::{Context, Result};
use indicatif::BinaryBytes;
use picture::{Anchor, Bars, Chart, Line, Panel, Svg, figure};

use book::Page;

const DRAWN: &str = "Drawn by <code>cargo xtask regen</code>.";

/// The picture of an example's output, if it has one.
pub fn picture(example: &str, text: &str) -> Result<Option<Page>> {
    let (name, picture) = match example {
        "activations" => ("lora-fa-activations.svg.html", activations(text)?),
        "delta-lora-spectrum" => ("delta-lora-spectrum.svg.html", spectrum(text)?),
        "rates" => ("lora-plus-rates.svg.html", rates(text)?),
        _ => return Ok(None),
    };
    Ok(Some(Page::rounded(name, picture)))
}

/// The numbers of a line; words among them are left out.
fn numbers(line: &str) -> Vec<f64> {
    line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn activations(text: &str) -> Result<String> {
    let rows = text.lines().map(numbers).filter(|row| row.len() == 7);
    let panels: Vec<Panel> = rows
        .enumerate()
        .map(|(i, row)| {
            let value = |bytes: f64| (bytes, BinaryBytes(bytes as u64).to_string());
            let dropout = if i == 4 { ", with dropout" } else { "" };
            Panel {
                title: format!("{} inputs, r = {}{dropout}: {} to 1", row[0], row[1], row[6]),
                values: vec![value(row[2]), value(row[4])],
            }
        })
        .collect();
    let names = vec!["LoRA".into(), "LoRA-FA".into()];
    let bars = Bars { title: "Kept for the backward pass of 512 tokens".into(), names, panels };
    let caption = format!(
        "What a layer keeps, counted. The wider the input and the smaller the rank, the more LoRA-FA saves; a dropout mask takes most of it \
         back. Each panel has its own scale. {DRAWN}"
    );
    Ok(figure("charts", &[bars.draw("activations")], &caption))
}

fn spectrum(text: &str) -> Result<String> {
    let (_, table) = text.split_once("k = 1, 2, ...\n").context("the singular values")?;
    let rows = table.lines().take_while(|line| !line.trim().is_empty());
    let curves: Vec<(f64, Line)> = rows
        .filter_map(|line| {
            let row = numbers(line);
            let (r, k) = (*row.first()?, *row.get(1)?);
            // What is below 1e-12 is rounding: the words "< 1e-12" leave that number, which is no value.
            let values = row[2..].iter().filter(|sigma| **sigma > 1e-12).enumerate();
            let points = values.map(|(i, sigma)| (i as f64 + 1.0, *sigma)).collect();
            Some((r, Line { name: format!("K = {k}"), points }))
        })
        .collect();
    // A chart for each rank: in one, the names of the short curves would be far from their ends.
    let chart = |rank: f64| {
        let of = |(r, line): &(f64, Line)| (*r == rank).then(|| line.clone());
        let chart = Chart {
            title: format!("What W has moved by, r = {rank}"),
            axes: ["number of the singular value".into(), "σ / σ₁".into()],
            ranges: [1.0..8.0, 0.02..1.2],
            log: true,
            square: false,
            lines: curves.iter().filter_map(of).collect(),
        };
        chart.draw(&format!("delta-spectrum-{rank}"))
    };
    let caption = format!(
        "Each curve ends where the singular values of W<sub>T</sub> − W<sub>0</sub> end: at 2r, and at r where W moves from the first update on (K = 0). {DRAWN}"
    );
    Ok(figure("charts", &[chart(2.0), chart(4.0)], &caption))
}

fn rates(text: &str) -> Result<String> {
    let table = text.lines().skip(1).take_while(|line| !line.starts_with("the best"));
    let rows: Vec<Vec<String>> = table
        .map(|line| {
            let line = line.replace("> 1", ">1").replace(['[', ']'], "");
            line.split_whitespace().map(str::to_owned).collect()
        })
        .collect();
    let (head, rows) = rows.split_first().context("a table")?;
    let [cell, row_height, left, top] = [58.0, 34.0, 66.0, 70.0];
    let columns = &head[3..];
    let size =
        [left + cell * columns.len() as f64 + 14.0, top + row_height * rows.len() as f64 + 14.0];
    let title = "Loss after 10 updates, for pairs of rates";
    let mut svg =
        Svg::new("rates", size, title, &text.lines().take(7).collect::<Vec<_>>().join("; "));
    svg.text("strong", [8.0, 20.0], Anchor::Start, title);
    svg.text("small", [left + 4.0, 40.0], Anchor::Start, "rate of B →");
    svg.text("small", [4.0, 40.0], Anchor::Start, "of A ↓");
    for (j, exponent) in columns.iter().enumerate() {
        svg.formula("", [left + cell * (j as f64 + 0.5), 62.0], Anchor::Middle, &power(exponent));
    }
    for (i, row) in rows.iter().enumerate() {
        let y = top + row_height * i as f64;
        svg.formula("", [left - 10.0, y + 22.0], Anchor::End, &power(&row[0]));
        for (j, loss) in row[1..].iter().enumerate() {
            let place = [left + cell * j as f64, y, cell, row_height];
            // From 0 at a loss of 1 to 1 at a hundredth.
            let dark =
                loss.parse::<f64>().map_or(0.0, |loss| (-loss.log10() / 2.0).clamp(0.0, 1.0));
            svg.cell(place, dark, loss, i == j);
        }
    }
    let caption = format!(
        "The first table as a picture: the stronger the colour, the lower the loss. On the diagonal, in a border, both rates are the same, which is LoRA. The lowest \
         loss lies to the right of it, where B is faster than A; some cells on the other side are below the best single rate too. {DRAWN}"
    );
    Ok(figure("charts", &[svg], &caption))
}

/// 2 to a power, in superscript digits.
fn power(exponent: &str) -> String {
    let digits = exponent.chars().map(|c| match c {
        '-' => '⁻',
        c => "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().nth(c.to_digit(10).unwrap_or(0) as usize).unwrap_or(c),
    });
    format!("2{}", digits.collect::<String>())
}
