//! The mistakes in a row, and what a case says for or against each.

use ndarray::ArrayD;

use super::mistake::{ALONE, Mistake};
use crate::bound::{Profile, Units};
use crate::case::{Class, Op};
use crate::judge::{Bench, same};
use crate::mutants::Mutant;
use crate::ops::Output;

/// What a case says about a mistake.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Says {
    /// It cannot be told from right here, or more is wrong than this mistake.
    Nothing,
    /// It gives what was submitted, in every tensor. By chance it would do so once in 2 to this power.
    For(f64),
    /// It changes what is computed here, and that is not what was submitted.
    Against,
}

/// What was submitted, in the order of the expected outputs.
pub(crate) struct Submitted {
    /// Numbers of the expected shape, if there are any.
    pub values: Vec<Option<ArrayD<f64>>>,
    /// Does the tensor pass?
    pub passes: Vec<bool>,
}

/// A case in one precision: the right results, and those of each mistake.
pub(crate) struct Lineup {
    right: Vec<Right>,
    suspects: Vec<Suspect>,
    backward: bool,
}

struct Right {
    name: String,
    want: ArrayD<f64>,
    bound: ArrayD<f64>,
    exact: bool,
    /// The range of draws, which is judged by what lies beyond it: the moments say more.
    range: bool,
}

struct Suspect {
    mistake: Mistake,
    /// By the place of the output; `None` where the mistake leaves it as it is.
    changed: Vec<Option<Changed>>,
}

struct Changed {
    value: ArrayD<f64>,
    bound: ArrayD<f64>,
    finite: bool,
}

impl Lineup {
    /// With no mistakes yet. `units` are those of each output, by name.
    pub fn new(bench: &Bench, units: &dyn Fn(&str) -> Option<Units>) -> Self {
        let right = |(output, want): &(Output, ArrayD<f64>)| {
            let units = units(&output.name).unwrap_or_else(|| Profile::F64.units(false));
            Right {
                name: output.name.clone(),
                want: want.clone(),
                bound: bench.judge.bound(output, &units),
                exact: bench.class == Class::Exact,
                range: bench.class == Class::Stat && output.name.ends_with(".support"),
            }
        };
        let right = bench.expected.iter().map(right).collect();
        Self { right, suspects: Vec::new(), backward: bench.op == Op::Backward }
    }

    /// How far off each right output may be.
    pub fn bounds(&self) -> Vec<&ArrayD<f64>> {
        self.right.iter().map(|right| &right.bound).collect()
    }

    /// One more mistake, if its outputs are other numbers.
    pub fn add(
        &mut self,
        bench: &Bench,
        units: &dyn Fn(&str) -> Option<Units>,
        mistake: Mistake,
        outputs: &[Output],
    ) {
        let exact_units = Profile::F64.units(false);
        let changed = |((output, _), right): (&(Output, ArrayD<f64>), &Right)| {
            let other = outputs.iter().find(|other| other.name == output.name)?;
            if other.value.shape() != output.value.shape() || right.range {
                return None;
            }
            // Other numbers, beyond what f64 itself may be off? Of a distribution the bound is about samples.
            let noise = match bench.class {
                Class::Stat => output.value.mapv(|value| value.abs() * 1e-12),
                _ => (output.bound)(&exact_units) * 4.0,
            };
            let mut pairs = output.value.iter().zip(&other.value).zip(&noise);
            if pairs.all(|((a, b), noise)| same(*a, *b) || (a - b).abs() <= *noise) {
                return None;
            }
            let units = units(&output.name)?;
            // Honest code need not round an input that is on the grid, and must round it once a mistake has changed it.
            let bound =
                bench.judge.bound(other, &units) + other.value.mapv(|x| units.store * x.abs());
            // A number that is not finite may be another one in honest code, as may what a case of the class allows.
            let finite = bench.class != Class::Acceptable
                && other.value.iter().chain(&right.want).all(|number| number.is_finite());
            Some(Changed { value: other.value.clone(), bound, finite })
        };
        let changed: Vec<_> = bench.expected.iter().zip(&self.right).map(changed).collect();
        if changed.iter().any(Option::is_some) {
            self.suspects.push(Suspect { mistake, changed });
        }
    }

    /// What this case says of each mistake, and of each in one tensor alone.
    pub fn ask(&self, submitted: &Submitted) -> Vec<(Mistake, Says)> {
        let mut answers = Vec::new();
        let mut ask = |suspect: &Suspect, only| {
            let says = self.says(suspect, only, submitted);
            if says != Says::Nothing {
                answers.push((Mistake { only, ..suspect.mistake }, says));
            }
        };
        for suspect in &self.suspects {
            ask(suspect, None);
            if self.backward && suspect.mistake.first.alone {
                let changed = self.right.iter().zip(&suspect.changed).filter(|(_, c)| c.is_some());
                for (right, _) in changed {
                    if let Some((only, _)) = ALONE.iter().find(|(name, _)| *name == right.name) {
                        ask(suspect, Some(*only));
                    }
                }
            }
        }
        answers
    }

    fn says(&self, suspect: &Suspect, only: Option<&str>, submitted: &Submitted) -> Says {
        let (mut agrees, mut against, mut evidence) = (true, false, Evidence::default());
        for (at, right) in self.right.iter().enumerate() {
            if right.range {
                continue;
            }
            let made = |_: &&Changed| only.is_none_or(|only| only == right.name);
            let Some(changed) = suspect.changed[at].as_ref().filter(made) else {
                agrees &= submitted.passes[at];
                continue;
            };
            match &submitted.values[at] {
                Some(got) if agree(got, changed) => {
                    let told_apart = evidence.add(got, right, changed);
                    agrees &= submitted.passes[at] || told_apart;
                }
                Some(_) => (agrees, against) = (false, against | changed.finite),
                None => agrees = false,
            }
            if against {
                return Says::Against;
            }
        }
        let wrong = submitted.passes.iter().any(|passes| !passes);
        if agrees && wrong { Says::For(evidence.bits()) } else { Says::Nothing }
    }
}

/// Each element within the mistake's bound. Where the terms of a sum cancel, honest rounding may bring an element nearer to
/// the right number than to the mistake's own: that is no reason against it, and no evidence for it.
fn agree(got: &ArrayD<f64>, changed: &Changed) -> bool {
    let pairs = got.iter().zip(&changed.value).zip(&changed.bound);
    pairs
        .into_iter()
        .all(|((got, value), bound)| same(*got, *value) || (got - value).abs() <= *bound)
}

/// How unlikely it is that a fault of another kind gives a mistake's numbers.
///
/// A wrong number that has nothing to do with the mistake lies within its bound once in D, where D is how far apart the
/// mistake and the right number are, in units of both bounds: log₂ D bits. A tensor that is a multiple of the right one is
/// one number, its factor, and so are several such tensors. A 0 is none: it is what is there when nothing was written.
#[derive(Default)]
struct Evidence {
    numbers: f64,
    factor: f64,
}

impl Evidence {
    /// True if the mistake is further from right than right may be off, at some element that is wrong.
    fn add(&mut self, got: &ArrayD<f64>, right: &Right, changed: &Changed) -> bool {
        let (mut sum, mut most, mut told_apart) = (0.0, 0.0_f64, false);
        let mut ratios: Option<(f64, f64)> = None;
        let elements = got.iter().zip(&right.want).zip(&right.bound);
        for (((got, want), allowed), (value, bound)) in
            elements.zip(changed.value.iter().zip(&changed.bound))
        {
            // NaN of the mistake's own: it is told apart, and worth nothing, since any NaN is like it.
            told_apart |= !got.is_finite() && same(*got, *value) && want.is_finite();
            let limit = if right.exact { 0.0 } else { *allowed };
            let wrong = (got - want).abs() > limit;
            let apart = (value - want).abs();
            told_apart |= wrong && !(apart <= limit);
            if !wrong || *value == 0.0 || !apart.is_finite() {
                continue;
            }
            let bits = (apart / (bound + limit)).log2().clamp(0.0, 52.0);
            (sum, most) = (sum + bits, most.max(bits));
            let ratio = value / want;
            ratios = Some(
                ratios.map_or((ratio, ratio), |(low, high)| (ratio.min(low), ratio.max(high))),
            );
        }
        match ratios {
            Some((low, high)) if (high - low).abs() <= 1e-9 * high.abs() => {
                self.factor = self.factor.max(most);
            }
            _ => self.numbers += sum,
        }
        told_apart
    }

    fn bits(&self) -> f64 {
        self.numbers + self.factor
    }
}

/// What somebody with two mistakes computes: the one in the problem, the other in that or in its results.
pub(crate) fn both(bench: &Bench, first: &Mutant, second: &Mutant) -> Option<Vec<Output>> {
    let right = bench.right();
    let after = |one: &Mutant, other: &Mutant| {
        let problem = one.problem(bench.op, &bench.problem)?;
        let outputs = crate::ops::evaluate(bench.op, &problem).ok()?;
        other.outputs(bench.op, &problem, &outputs).or(Some(outputs))
    };
    let alone = |one: &Mutant| one.outputs(bench.op, &bench.problem, &right);
    after(first, second).or_else(|| after(second, first)).or_else(|| {
        match (alone(first), alone(second)) {
            (Some(outputs), None) | (None, Some(outputs)) => Some(outputs),
            (Some(outputs), Some(_)) => second.outputs(bench.op, &bench.problem, &outputs),
            (None, None) => None,
        }
    })
}
