//! The table and the plots of a comparison.

use std::path::{Path, PathBuf};

use anyhow::Result;
use finetune::{ByKind, Record, Spread, Sweep};
use methods::Row;
use picture::{Bars, Panel};

use crate::output;
use crate::plot::{self, Curve};

/// The runs of one method, one for each seed.
pub struct Runs {
    pub row: Row,
    pub records: Vec<Record>,
}

impl Runs {
    fn spread(&self, number: impl Fn(&Record) -> f64) -> Spread {
        Spread::of(self.records.iter().map(number)).expect("at least one seed")
    }

    /// Mean training loss at each step.
    fn losses(&self) -> Vec<f64> {
        let mean = |step: usize| {
            let losses = self.records.iter().map(|record| record.losses[step]);
            losses.sum::<f64>() / self.records.len() as f64
        };
        (0..self.records[0].losses.len()).map(mean).collect()
    }
}

/// The table. Plain text has no answers to count.
pub fn print(rows: &[Runs], has_answers: bool) {
    let header = [
        "method",
        "trained",
        "weights",
        "gradients",
        "optimizer",
        "saved",
        "lr",
        "loss",
        "exact",
        "rank ΔW",
        "ms/step",
    ];
    let exact = |share| if has_answers { output::percent(share) } else { "–".to_owned() };
    let cells = |row: &Runs| {
        let Record { trainable, bytes, lr, .. } = &row.records[0];
        let several = row.records.len() > 1;
        let shown = |spread: Spread, format: &dyn Fn(f64) -> String| {
            let Spread { median, least, most } = spread;
            match several {
                true => format!("{} ({}–{})", format(median), format(least), format(most)),
                false => format(median),
            }
        };
        let mut cells = vec![row.row.label.to_owned(), output::count(*trainable)];
        cells.extend(bytes.values().map(output::bytes));
        cells.extend([
            lr.to_string(),
            shown(row.spread(|record| record.after.loss), &|loss| format!("{loss:.4}")),
            shown(row.spread(|record| record.after.exact), &exact),
            format!("{:.1}", row.spread(|record| record.effective_rank).median),
            format!("{:.1}", 1e3 * row.spread(|record| record.seconds_per_step).median),
        ]);
        cells
    };
    let before = rows[0].records[0].before;
    let mut start = vec!["before training".to_owned()];
    start.resize(header.len(), String::new());
    start[7] = format!("{:.4}", before.loss);
    start[8] = exact(before.exact);
    let cells: Vec<_> = std::iter::once(start).chain(rows.iter().map(cells)).collect();
    say!("{}", output::table(&header, &cells));
}

/// The trials of a sweep, the best of each row marked.
pub fn print_sweep(sweep: &Sweep, rows: &[Row]) {
    let cell = |loss, best| if best { format!("*{loss:.4}") } else { format!("{loss:.4}") };
    let mut table = sweep.table(rows, cell);
    let mut header = table.remove(0);
    header[0] = "loss at lr".to_owned();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    say!("{}", output::table(&header, &table));
}

/// A panel for each kind of bytes. What the adapters keep stands apart from what the model keeps whatever the method, which is
/// more than all the rest and would hide it.
fn memory(rows: &[Runs]) -> Bars {
    let panel = |title: &str, bytes: &dyn Fn(&Record) -> usize| Panel {
        title: title.to_owned(),
        values: rows
            .iter()
            .map(|row| bytes(&row.records[0]))
            .map(|bytes| (bytes as f64, output::bytes(bytes)))
            .collect(),
    };
    let [weights, gradients, optimizer, _] = ByKind::NAMES;
    Bars {
        title: "Memory of a training step".to_owned(),
        names: rows.iter().map(|row| row.row.label.to_owned()).collect(),
        panels: vec![
            panel(gradients, &|record| record.bytes.gradients),
            panel(optimizer, &|record| record.bytes.optimizer),
            panel("saved for backward by the adapters", &|record| record.adapter_saved_bytes),
            panel("saved for backward by the model", &|record| {
                record.bytes.saved.saturating_sub(record.adapter_saved_bytes)
            }),
            panel(weights, &|record| record.bytes.weights),
        ],
    }
}

/// Loss curves, bytes by kind, and the spectra of what changed in one matrix.
pub fn plots(rows: &[Runs], folder: &Path) -> Result<[PathBuf; 3]> {
    let paths = ["loss.svg", "bytes.svg", "spectra.svg"].map(|name| folder.join(name));
    let [loss, bytes, spectra] = &paths;
    let label = |runs: &Runs| runs.row.label.to_owned();

    let mean = |row: &Runs| plot::running_mean(&row.losses(), 10);
    let curves = rows.iter().map(|row| Curve { name: label(row), values: mean(row), first: 0 });
    plot::lines(
        loss,
        "Training loss",
        ["step", "loss (mean of 10 steps)"],
        &curves.collect::<Vec<_>>(),
    )?;

    plot::bars(bytes, &memory(rows))?;

    // The middle one of the matrices that were decomposed.
    let modules: Vec<&String> = rows[0].records[0].spectra.keys().collect();
    let Some(&module) = modules.get(modules.len() / 2) else { return Ok(paths) };
    let curves = rows.iter().filter_map(|row| {
        let values = row.records[0].spectra.get(module)?;
        let relative = values.iter().map(|sigma| sigma / values[0]);
        // What is left of a vanished singular value is rounding.
        let values = relative.take_while(|&sigma| sigma > 1e-6).collect();
        Some(Curve { name: label(row), values, first: 1 })
    });
    let title = format!("What training changed in {module}");
    let axes = ["number of the singular value", "σ / σ₁"];
    plot::lines(spectra, &title, axes, &curves.collect::<Vec<_>>())?;
    Ok(paths)
}
