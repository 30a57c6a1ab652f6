//! The learning rate of each row, from the same small grid: a comparison at one rate for all would be one of rates.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use methods::Row;

/// One rate, tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Learning rate.
    pub lr: f64,
    /// Loss on examples held out for this choice and for nothing else; `None` when training diverged.
    pub loss: Option<f64>,
}

/// The trials of every row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// By the row's name, the smallest rate first.
    pub trials: BTreeMap<String, Vec<Trial>>,
}

/// Tried for every row: half-decades.
const GRID: [f64; 5] = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2];
/// How far the grid may grow.
const LIMITS: [f64; 2] = [1e-6, 10.0];

impl Sweep {
    /// The sweep on the embedded model, 400 steps with seed 10,000: made by `lowrank compare --sweep`.
    pub fn embedded() -> Self {
        serde_json::from_str(include_str!("../assets/sweep.json")).expect("a test reads it")
    }

    /// Try the grid, and go on beyond its end for as long as the best rate is there. `trial` runs one rate and gives its
    /// loss, `None` if it diverged.
    ///
    /// # Errors
    /// Those of `trial`.
    pub fn of<E>(mut trial: impl FnMut(f64) -> Result<Option<f64>, E>) -> Result<Vec<Trial>, E> {
        let mut run = |lr| Ok(Trial { lr, loss: trial(lr)? });
        let mut trials = GRID.into_iter().map(&mut run).collect::<Result<Vec<_>, E>>()?;
        loop {
            let best = best(&trials).map_or(0, |best| best.0);
            let (first, last) = (trials[0].lr, trials[trials.len() - 1].lr);
            if best == 0 && first > LIMITS[0] {
                trials.insert(0, run(half_decade(first, -1))?);
            } else if best == trials.len() - 1 && last < LIMITS[1] {
                trials.push(run(half_decade(last, 1))?);
            } else {
                return Ok(trials);
            }
        }
    }

    /// The best rate of a row; `None` when it was not tried, or always diverged.
    pub fn rate(&self, row: &Row) -> Option<f64> {
        best(self.trials.get(row.name)?).map(|(_, trial)| trial.lr)
    }

    /// The trials as a table: a line for each row, a column for each rate. `cell` shows a loss, and is told whether it is
    /// the best of its row; the first line has the rates.
    pub fn table(&self, rows: &[Row], cell: impl Fn(f64, bool) -> String) -> Vec<Vec<String>> {
        let trials = |row: &Row| self.trials.get(row.name).map_or(&[][..], Vec::as_slice);
        let mut rates: Vec<f64> = rows.iter().flat_map(trials).map(|trial| trial.lr).collect();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        let head = std::iter::once(String::new()).chain(rates.iter().map(f64::to_string)).collect();
        let line = |row: &Row| {
            let best = self.rate(row);
            let shown = |lr: &f64| match trials(row).iter().find(|trial| trial.lr == *lr) {
                None => String::new(),
                Some(Trial { loss: None, .. }) => "diverged".to_owned(),
                Some(Trial { loss: Some(loss), .. }) => cell(*loss, best == Some(*lr)),
            };
            std::iter::once(row.label.to_owned()).chain(rates.iter().map(shown)).collect()
        };
        std::iter::once(head).chain(rows.iter().map(line)).collect()
    }
}

/// The trial of the smallest loss, and its place.
fn best(trials: &[Trial]) -> Option<(usize, Trial)> {
    let finite = trials.iter().enumerate().filter_map(|(i, trial)| Some((i, *trial, trial.loss?)));
    let finite = finite.filter(|(.., loss)| loss.is_finite());
    finite.min_by(|(.., a), (.., b)| a.total_cmp(b)).map(|(i, trial, _)| (i, trial))
}

/// 1, 3, 10, 30, …: the rate before or after this one.
fn half_decade(lr: f64, direction: i32) -> f64 {
    let place = (2.0 * lr.log10()).round() as i32 + direction;
    let mantissa = if place.rem_euclid(2) == 0 { 1 } else { 3 };
    format!("{mantissa}e{}", place.div_euclid(2)).parse().expect("a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_decades_go_on() {
        let mut lr = 1e-4;
        for next in [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0] {
            assert_eq!(half_decade(lr, 1), next);
            assert_eq!(half_decade(next, -1), lr);
            lr = next;
        }
    }

    /// A parabola in ln η: the grid grows until its best is inside, and a rate that diverges is never the best.
    #[test]
    fn the_best_rate_is_found_wherever_it_is() {
        for want in [1e-5, 1e-4, 1e-3, 3e-3, 1e-1, 1.0] {
            let loss = |lr: f64| (lr <= 4.0 * want).then(|| (lr / want).ln().powi(2));
            let parabola = |lr| Ok::<_, std::convert::Infallible>(loss(lr));
            let trials = Sweep::of(parabola).unwrap();
            assert_eq!(best(&trials).unwrap().1.lr, want, "{trials:?}");
            assert!(trials.is_sorted_by(|a, b| a.lr < b.lr));
            assert!(trials[0].lr < want && trials[trials.len() - 1].lr > want);
        }
        let always = Sweep::of(|_| Ok::<_, std::convert::Infallible>(Some(f64::NAN))).unwrap();
        assert_eq!(best(&always), None);
    }

    #[test]
    fn the_committed_sweep_has_every_row() {
        let sweep = Sweep::embedded();
        for row in Row::all() {
            let trials = &sweep.trials[row.name];
            let (place, _) = best(trials).expect("not all diverge");
            assert!(place > 0 && place < trials.len() - 1, "{row}: the best is at the edge");
        }
    }

    #[test]
    fn a_table_has_every_rate_and_marks_the_best() {
        let rows = &Row::all()[..2];
        let trial = |lr, loss| Trial { lr, loss };
        let mut sweep = Sweep::default();
        sweep.trials.insert(rows[0].name.into(), vec![trial(0.1, Some(2.0)), trial(1.0, None)]);
        sweep.trials.insert(rows[1].name.into(), vec![trial(0.5, Some(1.0))]);
        let table =
            sweep.table(rows, |loss, best| format!("{loss}{}", if best { "*" } else { "" }));
        assert_eq!(table[0], ["", "0.1", "0.5", "1"]);
        assert_eq!(table[1], ["full", "2*", "", "diverged"]);
        assert_eq!(table[2], ["LoRA", "", "1*", ""]);
    }
}
