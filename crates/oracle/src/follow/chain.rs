//! Whether a step begins where the one before ended.

use std::collections::BTreeMap;

use ndarray::ArrayD;

use super::run::StepId;
use crate::case::{Case, Op};
use crate::error::{Result, wrong};
use crate::judge::same;
use crate::tensors::TensorFile;

/// The state of a layer as the last step left it.
#[derive(Default)]
pub(super) struct Chain {
    /// By name, with the step that left it.
    state: BTreeMap<String, (ArrayD<f64>, u64)>,
    /// The number of the last step.
    last: Option<u64>,
    /// The count of updates that the last one began with, and its number.
    start: Option<(u64, u64)>,
}

impl Chain {
    /// What of this step's input is not what was left for it. Its own state is left for the next one.
    pub fn next(&mut self, id: &StepId, case: &Case, file: &TensorFile) -> Result<Vec<String>> {
        // Where steps were not recorded nothing is known.
        if self.last.is_some_and(|last| id.number > last + 1) {
            *self = Self::default();
        }
        self.last = Some(id.number);
        let mut breaks = Vec::new();
        if case.op == Op::Step {
            let (start, number) = (case.params()?.start, id.number);
            let follows = |(before, of): (u64, u64)| before + (number - of) == start;
            if let Some((before, of)) = self.start.filter(|last| !follows(*last)) {
                breaks.push(format!("`start` is {start}; it was {before} in step {of}"));
            }
            self.start = Some((start, number));
        }
        let numbers = |name: &str| {
            let tensor = file.tensors.get(name)?;
            Some(tensor.to_f64().map_err(|error| wrong(format!("{name} {error}"))))
        };
        for (name, (left, of)) in &self.state {
            // A gradient may be clipped or added up between the passes and the update.
            let given = match numbers(&format!("in.{name}")) {
                Some(given) => given?,
                // A moment that is not there is 0.
                None if case.op == Op::Step && name.starts_with("exp_avg") => {
                    ArrayD::zeros(left.shape())
                }
                None => continue,
            };
            let equal = given.iter().zip(left).all(|(a, b)| same(*a, *b));
            if given.shape() != left.shape() || !equal {
                breaks
                    .push(format!("in.{name} is not what step {of} left: {}", apart(&given, left)));
            }
        }
        for name in file.tensors.keys() {
            let kept = |name: &&str| {
                let own = ["x", "grad_y", "dropout_mask"];
                !own.contains(name) && !name.starts_with("grad_") && *name != "y"
            };
            let output = name.strip_prefix("out.");
            if let Some(plain) = output.or(name.strip_prefix("in.")).filter(kept) {
                // What the step gives is there in place of what it was given.
                if output.is_some() || !file.tensors.contains_key(&format!("out.{plain}")) {
                    let numbers = numbers(name).expect("it is a key")?;
                    self.state.insert(plain.to_owned(), (numbers, id.number));
                }
            }
        }
        Ok(breaks)
    }
}

/// How two states differ.
fn apart(given: &ArrayD<f64>, left: &ArrayD<f64>) -> String {
    if given.shape() != left.shape() {
        return format!("it has shape {:?} where {:?} was left", given.shape(), left.shape());
    }
    if given.iter().all(|number| *number == 0.0) {
        return "it is 0".into();
    }
    let far = |(a, b): (&f64, &f64)| if same(*a, *b) { 0.0 } else { (a - b).abs() };
    let most =
        given.iter().zip(left).map(far).fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a });
    format!("an element differs by {most:.3e}")
}
