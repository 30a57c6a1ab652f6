//! The kill matrix: case by mutant by precision.
//!
//! A mutant's results are computed in `f64`, rounded once to the format, and judged by the checker: `killed`. Rounding once
//! is the least that any code does. `certain` asks for more: that the mutant is further off than its own bound and the
//! case's together, so that code with this mistake fails however it rounds.

use half::bf16;
use ndarray::{Array2, ArrayD};
use safetensors::tensor::Dtype;

use super::confusion::{Trial, refusals, trials};
use super::precisions::{DTYPES, PRECISIONS};
use crate::bound::Profile;
use crate::case::{Case, Class, Method};
use crate::error::Result;
use crate::judge::{Bench, Judge, Verdict, same};
use crate::mutants::{Mutant, careless, mutants};
use crate::ops::Output;
use crate::tensors::{Tensor, TensorFile};

/// What others compare with, for contrast: the name, and rtol and atol in f32 and in bf16.
pub const RULES: [(&str, [[f64; 2]; 2]); 3] = [
    ("allclose 1e-3", [[1e-3, 1e-3]; 2]),
    ("allclose 1e-4", [[1e-4, 1e-4]; 2]),
    ("torch.testing", [[1.3e-6, 1e-5], [1.6e-2, 1e-5]]),
];

/// One mutant on one case in one precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kill {
    /// Rounded once, it fails.
    pub killed: bool,
    /// It fails however it rounds.
    pub certain: bool,
    /// Each of the [`RULES`] fails it.
    pub rules: [bool; 3],
}

/// One mutant on one case that it changes.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// The mutant.
    pub mutant: &'static Mutant,
    /// In each of the [`PRECISIONS`].
    pub kills: [Kill; 2],
}

/// One case.
#[derive(Clone, Debug)]
pub struct CaseRow {
    /// Its id.
    pub id: String,
    /// Its method.
    pub method: Method,
    /// Its class.
    pub class: Class,
    /// The mutants that change it.
    pub cells: Vec<Cell>,
    /// What is said about the right results in each precision: nothing may be `killed`.
    pub honest: [Kill; 2],
}

impl CaseRow {
    fn empty(case: &Case) -> Self {
        Self {
            id: case.id.clone().unwrap_or_default(),
            method: case.method,
            class: case.class.unwrap_or_default(),
            cells: Vec::new(),
            honest: Default::default(),
        }
    }

    /// Where the right results fail.
    pub(super) fn refuted(&self) -> impl Iterator<Item = String> {
        let failed = PRECISIONS.iter().zip(&self.honest).filter(|(_, kill)| kill.killed);
        failed.map(|(precision, _)| {
            format!("{}: the right results, rounded to {precision}, fail", self.id)
        })
    }
}

/// The mutants on one case.
pub(super) fn row(case: &Case, file: &TensorFile) -> Result<CaseRow> {
    let bench = Bench::read(case, file, Default::default())?;
    let right = bench.right();
    let made: Vec<_> = bench.mistaken(mutants(), &right).collect();
    Ok(row_of(case, &bench, &right, &made))
}

/// The mutants on one case, and all that is submitted to be diagnosed.
pub(super) fn row_and_trials(case: &Case, file: &TensorFile) -> Result<(CaseRow, Vec<Trial>)> {
    if case.class == Some(Class::Reject) {
        let kill = Kill { killed: true, certain: true, rules: [false; 3] };
        let cells = careless(case.method, case.op).map(|mutant| Cell { mutant, kills: [kill; 2] });
        let row = CaseRow { cells: cells.into_iter().collect(), ..CaseRow::empty(case) };
        return Ok((row, refusals(case.method, case.op)));
    }
    let bench = Bench::read(case, file, Default::default())?;
    let right = bench.right();
    let made: Vec<_> = bench.mistaken(mutants(), &right).collect();
    Ok((row_of(case, &bench, &right, &made), trials(case, &bench, &made)))
}

fn row_of(
    case: &Case,
    bench: &Bench,
    right: &[Output],
    made: &[(&'static Mutant, Vec<Output>)],
) -> CaseRow {
    let class = bench.class;
    let at = |made: &[Output]| [0, 1].map(|p| kill(&bench.judge, class, &bench.expected, made, p));
    let changed = made.iter().filter(|(_, made)| differs(right, made, class));
    let cells = changed.map(|(mutant, made)| Cell { mutant, kills: at(made) }).collect();
    CaseRow { honest: at(right), cells, ..CaseRow::empty(case) }
}

/// A pass: its outputs by name, from its inputs by name and the rounding of the format.
pub(super) type Pass =
    fn(&dyn Fn(&str) -> Array2<f64>, &dyn Fn(f64) -> f64) -> Vec<(&'static str, Array2<f64>)>;

/// What is said, in each precision, about right code that rounds as it goes.
pub(super) fn honest_row(case: &Case, file: &TensorFile, pass: Pass) -> Result<[Kill; 2]> {
    let Bench { problem, expected, judge, .. } = Bench::read(case, file, Default::default())?;
    Ok([0, 1].map(|precision| {
        let round = |number: f64| match precision {
            0 => f64::from(number as f32),
            _ => bf16::from_f64(number).to_f64(),
        };
        let made = pass(&|name| problem.matrix(name, 0, 0), &round);
        let made: Vec<Output> = expected
            .iter()
            .filter_map(|(output, _)| {
                let (_, value) = made.iter().find(|(name, _)| *name == output.name)?;
                Some(Output { value: value.clone().into_dyn(), ..output.clone() })
            })
            .collect();
        kill(&judge, Class::Bounded, &expected, &made, precision)
    }))
}

/// Are these other numbers, beyond what `f64` itself may be off?
fn differs(right: &[Output], made: &[Output], class: Class) -> bool {
    let units = Profile::F64.units(false);
    right.iter().any(|output| {
        let Some(other) = made.iter().find(|other| other.name == output.name) else { return true };
        // Of a distribution the bound is about samples.
        let bound = match class {
            Class::Stat => output.value.mapv(|value| value.abs() * 1e-12),
            _ => (output.bound)(&units) * 4.0,
        };
        let pairs = output.value.iter().zip(&other.value).zip(&bound);
        output.value.shape() != other.value.shape()
            || pairs.into_iter().any(|((&a, &b), &bound)| !(same(a, b) || (a - b).abs() <= bound))
    })
}

/// What is said about these results.
fn kill(
    judge: &Judge,
    class: Class,
    expected: &[(Output, ArrayD<f64>)],
    made: &[Output],
    precision: usize,
) -> Kill {
    let mut kill = Kill::default();
    for (output, want) in expected {
        let Some(other) = made.iter().find(|other| other.name == output.name) else {
            return Kill { killed: true, certain: true, rules: [true; 3] };
        };
        let dtype = DTYPES[precision];
        let tensor = Tensor::rounded(&other.value, dtype);
        kill.killed |= judge.tensor(output, want, &tensor, dtype).verdict == Verdict::Fail;
        kill.certain |= certain(judge, class, (output, want), other, dtype);
        // Nobody compares moments so.
        if class != Class::Stat
            && let Ok(got) = tensor.to_f64()
        {
            for (failed, (_, tolerances)) in kill.rules.iter_mut().zip(RULES) {
                let [rtol, atol] = tolerances[precision];
                *failed |= !close(&got, want, rtol, atol);
            }
        }
    }
    kill
}

/// Is one element off by more than both bounds together?
fn certain(
    judge: &Judge,
    class: Class,
    (output, want): (&Output, &ArrayD<f64>),
    other: &Output,
    dtype: Dtype,
) -> bool {
    let Some((_, units)) = judge.units(dtype) else { return false };
    if other.value.shape() != want.shape() {
        return true;
    }
    let own = (other.bound)(&units);
    let allowed = match class {
        Class::Exact => own,
        _ => own + judge.bound(output, &units),
    };
    other.value.iter().zip(want).zip(&allowed).any(|((got, want), allowed)| {
        got.is_finite() && want.is_finite() && (got - want).abs() > *allowed
    })
}

/// numpy's and PyTorch's rule; NaN equals NaN.
fn close(got: &ArrayD<f64>, want: &ArrayD<f64>, rtol: f64, atol: f64) -> bool {
    got.shape() == want.shape()
        && got.iter().zip(want).all(|(&got, &want)| {
            same(got, want) || want.is_finite() && (got - want).abs() <= atol + rtol * want.abs()
        })
}
