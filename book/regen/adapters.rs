//! Two adapters, trained by the program on the embedded model from two seeds, and what the program says of them: each page is
//! a command and what it prints.
//!
//! In f64, so that the rounding of one processor's BLAS against another's does not reach the digits printed.

use anyhow::{Context, Result};
use serde_json::Value;

use book::Page;
use book::figure::{Chart, Line, figure};

/// What the commands read and write.
const FOLDERS: [&str; 5] = ["seed-0", "seed-1", "rank-4", "energy-90", "mean"];
const ALL: &str = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj";

pub fn pages() -> Result<Vec<Page>> {
    let folder = tempfile::tempdir().context("no place for adapters")?;
    let shell = Shell { folder: folder.path().to_str().context("a folder's name")?.to_owned() };
    let mut train = String::new();
    for seed in ["0", "1"] {
        let out = format!("seed-{seed}");
        let arguments =
            ["finetune", "--dtype", "f64", "--steps", "100", "--targets", ALL, "--seed", seed];
        // Times and memory, which it prints too, are of one machine.
        train += &shell.typed(&[&arguments[..], &["--out", &out]].concat())?.0;
    }
    let inspect = shell.run(&["inspect", "seed-0"])?;
    let similar = shell.run(&["inspect", "seed-0", "seed-1"])?;
    // The two tables before the last are like the one above.
    let (command, _) = similar.split_once('\n').context("a command")?;
    let (_, last) = similar.rsplit_once("\n\n").context("a table of similarities")?;
    let similar = format!("{command}\n…\n{last}");
    let resize = shell.run(&["resize", "seed-0", "--rank", "4", "--out", "rank-4"])?;
    let energy = shell.run(&["resize", "seed-0", "--energy", "0.9", "--out", "energy-90"])?;
    let combine =
        shell.run(&["combine", "seed-0:0.5", "seed-1:0.5", "--rank", "8", "--out", "mean"])?;
    Ok(vec![
        Page::rounded("adapter-inspect.txt", train + &inspect),
        Page::rounded("adapter-spectrum.svg.html", spectrum(&shell)?),
        Page::rounded("adapter-similarity.txt", similar),
        Page::rounded("adapter-resize.txt", resize + &energy),
        Page::rounded("adapter-combine.txt", combine),
    ])
}

/// Runs `lowrank` with folders in one temporary place, of which the pages say nothing.
struct Shell {
    folder: String,
}

impl Shell {
    /// The line as one would type it, and what the program prints.
    fn typed(&self, arguments: &[&str]) -> Result<(String, String)> {
        let place = |text: &&str| match FOLDERS.iter().any(|name| text.starts_with(name)) {
            true => format!("{}/{text}", self.folder),
            false => (*text).to_owned(),
        };
        let mut cargo = vec!["--bin".to_owned(), "lowrank".to_owned(), "--".to_owned()];
        cargo.extend(arguments.iter().map(place));
        let text = crate::cargo_run(&cargo)?;
        Ok((
            format!("$ lowrank {}\n", arguments.join(" ")),
            text.replace(&format!("{}/", self.folder), ""),
        ))
    }

    fn run(&self, arguments: &[&str]) -> Result<String> {
        let (line, text) = self.typed(arguments)?;
        Ok(line + &text)
    }
}

/// The singular values of each module of the middle layer.
fn spectrum(shell: &Shell) -> Result<String> {
    let (_, text) = shell.typed(&["inspect", "seed-0", "--format", "json"])?;
    let mut lines = Vec::new();
    for line in text.lines() {
        let report: Value = serde_json::from_str(line)?;
        let Some(kind) = report["module"].as_str().and_then(|name| name.split_once(".layers.1."))
        else {
            continue;
        };
        let values = report["singular_values"].as_array().context("singular values")?;
        let points =
            values.iter().enumerate().filter_map(|(i, s)| Some(((i + 1) as f64, s.as_f64()?)));
        let name = kind.1.rsplit('.').next().unwrap_or_default().to_owned();
        lines.push(Line { name, points: points.collect() });
    }
    let chart = Chart {
        title: "Layer 1".into(),
        axes: ["number of the singular value".into(), "σ of ΔW".into()],
        ranges: [1.0..8.0, 0.1..6.0],
        log: true,
        square: false,
        lines,
    };
    let caption = "The singular values of an adapter of rank 8: no module uses its eight directions evenly. The steeper a curve, the fewer matter.";
    Ok(figure("adapter-spectrum", caption, &[chart]))
}
