//! The table and the plots of a comparison.

use std::path::{Path, PathBuf};

use anyhow::Result;
use finetune::{ByKind, Contender, Record, Sweep};

use crate::output;
use crate::plot::{self, Curve};

/// The runs of one method, one for each seed.
pub struct Row {
    pub contender: Contender,
    pub records: Vec<Record>,
}

impl Row {
    /// Median, smallest and largest of a number.
    fn spread(&self, number: impl Fn(&Record) -> f64) -> [f64; 3] {
        let mut values: Vec<f64> = self.records.iter().map(number).collect();
        values.sort_by(f64::total_cmp);
        [values[values.len() / 2], values[0], values[values.len() - 1]]
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
pub fn print(rows: &[Row], has_answers: bool) {
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
    let cells = |row: &Row| {
        let Record { trainable, bytes, lr, .. } = &row.records[0];
        let several = row.records.len() > 1;
        let shown = |[median, low, high]: [f64; 3], format: &dyn Fn(f64) -> String| match several {
            true => format!("{} ({}–{})", format(median), format(low), format(high)),
            false => format(median),
        };
        let mut cells = vec![row.contender.label().to_owned(), output::count(*trainable)];
        cells.extend(bytes.values().map(output::bytes));
        cells.extend([
            lr.to_string(),
            shown(row.spread(|record| record.after.loss), &|loss| format!("{loss:.4}")),
            shown(row.spread(|record| record.after.exact), &exact),
            format!("{:.1}", row.spread(|record| record.effective_rank)[0]),
            format!("{:.1}", 1e3 * row.spread(|record| record.seconds_per_step)[0]),
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
pub fn print_sweep(sweep: &Sweep, contenders: &[Contender]) {
    let mut rates: Vec<f64> = sweep.trials.values().flatten().map(|trial| trial.lr).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    let mut header = vec!["loss at lr".to_owned()];
    header.extend(rates.iter().map(f64::to_string));
    let row = |contender: &Contender| {
        let trials = &sweep.trials[contender.name()];
        let best = sweep.rate(*contender);
        let cell = |lr: &f64| match trials.iter().find(|trial| trial.lr == *lr) {
            None => String::new(),
            Some(trial) => match trial.loss {
                None => "diverged".to_owned(),
                Some(loss) if best == Some(*lr) => format!("*{loss:.4}"),
                Some(loss) => format!("{loss:.4}"),
            },
        };
        std::iter::once(contender.label().to_owned()).chain(rates.iter().map(cell)).collect()
    };
    let rows: Vec<Vec<String>> = contenders.iter().map(row).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    say!("{}", output::table(&header, &rows));
}

/// Loss curves, bytes by kind, and the spectra of what changed in one matrix.
pub fn plots(rows: &[Row], folder: &Path) -> Result<[PathBuf; 3]> {
    let paths = ["loss.svg", "bytes.svg", "spectra.svg"].map(|name| folder.join(name));
    let [loss, bytes, spectra] = &paths;
    let label = |row: &Row| row.contender.label().to_owned();

    let mean = |row: &Row| plot::running_mean(&row.losses(), 10);
    let curves = rows.iter().map(|row| Curve { name: label(row), values: mean(row), first: 0 });
    plot::lines(
        loss,
        "Training loss",
        ["step", "loss (mean of 10 steps)"],
        &curves.collect::<Vec<_>>(),
    )?;

    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    let bars = rows.iter().map(|row| (label(row), row.records[0].bytes.values().map(mib)));
    let bars: Vec<_> = bars.collect();
    plot::stacked(bytes, "Memory of a training step", "MiB", ByKind::NAMES, &bars)?;

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
