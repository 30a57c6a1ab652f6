//! What one case says when something wrong is submitted.

use ndarray::ArrayD;

use super::fault::{FAULTS, PAIRS};
use crate::case::{Case, Class, Method, Op};
use crate::diagnosis::{ALONE, Lineup, Mistake, Says, Submitted, Witness, both};
use crate::error::Result;
use crate::judge::{Bench, Finding, Verdict};
use crate::mutants::{Mutant, careless, mutants};
use crate::ops::Output;
use crate::selftest::precisions::DTYPES;
use crate::tensors::{Tensor, TensorFile};

/// What is submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tried {
    Nothing,
    Mutant(usize),
    Fault(usize),
    Pair(usize),
    InRule(usize),
}

/// A case, what was submitted in which precision, and what it says of each mistake.
#[derive(Clone, Debug)]
pub(in crate::selftest) struct Trial {
    pub(super) tried: Tried,
    pub(super) precision: usize,
    pub(super) failed: bool,
    of: Vec<(u16, f32)>,
    /// A bit for each mistake that it is against: there are many.
    against: [u64; WORDS],
}

/// A mistake of the catalogue in all tensors, or in one alone.
const WAYS: usize = ALONE.len() + 1;
/// Bits for 128 mistakes.
const WORDS: usize = 128 * WAYS / 64;

impl Trial {
    fn new(tried: Tried, precision: usize, failed: bool, says: &[(Mistake, Says)]) -> Self {
        let mut trial = Self { tried, precision, failed, of: Vec::new(), against: [0; WORDS] };
        for (mistake, says) in says {
            let code = code(mistake);
            match says {
                Says::For(bits) => trial.of.push((code as u16, *bits as f32)),
                Says::Against => trial.against[code / 64] |= 1 << (code % 64),
                Says::Nothing => {}
            }
        }
        trial
    }

    /// What it says of each mistake.
    pub(super) fn says(&self, catalogue: &[&'static Mutant]) -> Vec<(Mistake, Says)> {
        let mistake = |code: usize| Mistake {
            only: (code % WAYS).checked_sub(1).map(|at| ALONE[at].0),
            ..Mistake::of(catalogue[code / WAYS])
        };
        let of = self
            .of
            .iter()
            .map(|(code, bits)| (mistake(usize::from(*code)), Says::For(f64::from(*bits))));
        let set = |code: &usize| self.against[code / 64] >> (code % 64) & 1 == 1;
        let against = (0..catalogue.len() * WAYS).filter(set);
        of.chain(against.map(|code| (mistake(code), Says::Against))).collect()
    }
}

fn code(mistake: &Mistake) -> usize {
    let mutant = mutants().position(|mutant| mutant.name == mistake.first.name).unwrap_or(0);
    let alone = |only| ALONE.iter().position(|(name, _)| *name == only).map_or(0, |at| at + 1);
    mutant * WAYS + mistake.only.map_or(0, alone)
}

/// Everything that is tried on a case, in both precisions; `made` are the results of each mistake.
pub(in crate::selftest) fn trials(
    case: &Case,
    bench: &Bench,
    made: &[(&'static Mutant, Vec<Output>)],
) -> Vec<Trial> {
    let mut trials = Vec::new();
    let place = |mutant: &Mutant| mutants().position(|listed| listed.name == mutant.name);
    for (precision, dtype) in DTYPES.into_iter().enumerate() {
        let units = |_: &str| bench.judge.units(dtype).map(|(_, units)| units);
        let mut lineup = Lineup::new(bench, &units);
        for (mutant, outputs) in made {
            lineup.add(bench, &units, Mistake::of(mutant), outputs);
        }
        let mut submit = |tried, values: &[ArrayD<f64>]| {
            let submitted = rounded(bench, values, precision);
            let failed = submitted.passes.contains(&false);
            trials.push(Trial::new(tried, precision, failed, &lineup.ask(&submitted)));
        };
        let right: Vec<_> = bench.expected.iter().map(|(_, want)| want.clone()).collect();
        submit(Tried::Nothing, &right);
        for (mutant, outputs) in made {
            if let (Some(at), Some(values)) = (place(mutant), in_order(bench, outputs)) {
                submit(Tried::Mutant(at), &values);
            }
        }
        for (at, fault) in FAULTS.iter().enumerate() {
            if let Some(values) = fault.values(case, bench, &lineup.bounds()) {
                submit(Tried::Fault(at), &values);
            }
        }
        for at in 0..PAIRS.len() {
            if let Some(values) = pair(bench, at) {
                submit(Tried::Pair(at), &values);
            }
        }
    }
    trials
}

/// What a case that must be refused says: it is there for one mistake only.
pub(in crate::selftest) fn refusals(method: Method, op: Op) -> Vec<Trial> {
    let place = |careless: &Mutant| mutants().position(|mutant| mutant.name == careless.name);
    let careless = careless(method, op).and_then(|mutant| Some((place(mutant)?, mutant)));
    careless
        .into_iter()
        .flat_map(|(at, mutant)| {
            let says = [(Mistake::of(mutant), Says::For(f64::INFINITY))];
            [0, 1].map(|precision| Trial::new(Tried::Mutant(at), precision, true, &says))
        })
        .chain([0, 1].map(|precision| Trial::new(Tried::Nothing, precision, false, &[])))
        .collect()
}

/// The same submission once more, asked about these mistakes.
pub(super) fn ask_again(
    case: &Case,
    file: &TensorFile,
    tried: Tried,
    precision: usize,
    mistakes: &[Mistake],
) -> Result<Vec<Says>> {
    if case.class == Some(Class::Reject) {
        return Ok(vec![Says::Nothing; mistakes.len()]);
    }
    let bench = Bench::read(case, file, Default::default())?;
    let dtype = DTYPES[precision];
    let units = |_: &str| bench.judge.units(dtype).map(|(_, units)| units);
    let values = match tried {
        // Of the one kind of update it is a mutant, of the others nothing.
        Tried::Nothing | Tried::InRule(_) => None,
        Tried::Mutant(at) => mutants()
            .nth(at)
            .and_then(|mutant| mutant.outputs(bench.op, &bench.problem, &bench.right()))
            .and_then(|outputs| in_order(&bench, &outputs)),
        Tried::Fault(at) => FAULTS[at].values(case, &bench, &Lineup::new(&bench, &units).bounds()),
        Tried::Pair(at) => pair(&bench, at),
    };
    let right = || bench.expected.iter().map(|(_, want)| want.clone()).collect();
    let submitted = rounded(&bench, &values.unwrap_or_else(right), precision);
    let dtypes = vec![Some(dtype); submitted.passes.len()];
    Ok(Witness { bench: &bench, submitted, dtypes }.of(mistakes))
}

/// Two mistakes at once, where at least one applies.
fn pair(bench: &Bench, at: usize) -> Option<Vec<ArrayD<f64>>> {
    let [first, second] = PAIRS[at].map(|name| mutants().find(|mutant| mutant.name == name));
    in_order(bench, &both(bench, first?, second?)?)
}

fn in_order(bench: &Bench, outputs: &[Output]) -> Option<Vec<ArrayD<f64>>> {
    let value = |(output, _): &(Output, _)| {
        Some(outputs.iter().find(|made| made.name == output.name)?.value.clone())
    };
    bench.expected.iter().map(value).collect()
}

/// Rounded once, and judged.
fn rounded(bench: &Bench, values: &[ArrayD<f64>], precision: usize) -> Submitted {
    let dtype = DTYPES[precision];
    let judge = |((output, want), value): (&(Output, ArrayD<f64>), &ArrayD<f64>)| {
        let tensor = Tensor::rounded(value, dtype);
        let finding: Finding = bench.judge.tensor(output, want, &tensor, dtype);
        (tensor.to_f64().ok(), finding.verdict != Verdict::Fail)
    };
    let (values, passes) = bench.expected.iter().zip(values).map(judge).unzip();
    Submitted { values, passes }
}
