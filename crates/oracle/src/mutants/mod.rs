//! Mistakes that were made, or could be: the catalogue of mutants. Each is a change of the problem that is computed, or of
//! what is made of right results.
//!
//! Two use it. [`check`](crate::judge::check) computes a case that failed once more with each of them, and names the one that
//! gives the submission's numbers. [`selftest`](crate::selftest) submits each of them, and every one must fail.
//!
//! Left out, since the contract has no such layers: convolutions (candle-lora's untransposed delta is
//! `delta-not-transposed`, on a weight stored \[in, out\]) and embeddings (PEFT #3499, a group that stays empty, is
//! `ratio-missing`; LoRA-FA on embedding targets is `never-trains`).

mod dropout;
mod gradients;
mod init;
mod moves;
mod projected_gradient;
mod scale;
mod transposed;
mod update;
mod vera;

use std::sync::Arc;

use ndarray::ArrayD;

use crate::Result;
use crate::case::{Method, Op};
use crate::ops::layer::Problem;
use crate::ops::{Output, evaluate};

/// A mistake.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// Its name, in kebab case.
    pub name: &'static str,
    /// What is wrong, in one sentence.
    pub what: &'static str,
    /// Where it was made: project and number. Empty for one that was not reported anywhere.
    pub seen: &'static str,
    /// The methods it applies to.
    pub methods: &'static [Method],
    /// The ops it applies to.
    pub ops: &'static [Op],
    /// It lies in the precision: in bf16 these are the numbers of honest code.
    pub honest_in_bf16: bool,
    way: Way,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    /// Puts the mistake into the problem; false if it would change nothing.
    Problem(fn(&mut Problem, Op) -> bool),
    /// Makes wrong results of the problem and its right ones; `None` if it would change nothing.
    Outputs(fn(&Problem, Op, &[Output]) -> Result<Option<Vec<Output>>>),
    /// Gives numbers where an error is expected.
    Numbers,
}

pub(crate) const ALL: &[Method] =
    &[Method::Lora, Method::LoraFa, Method::Vera, Method::DeltaLora, Method::LoraPlus];
const SCALED: &[Method] = &[Method::Lora, Method::LoraFa, Method::DeltaLora, Method::LoraPlus];
const MASKED: &[Method] = &[Method::Lora, Method::LoraFa, Method::Vera, Method::LoraPlus];
const LAYER: &[Op] = &[Op::Forward, Op::Backward, Op::Trajectory, Op::Merge, Op::Unmerge];
const PASSES: &[Op] = &[Op::Forward, Op::Backward, Op::Trajectory];
const PASS: &[Op] = &[Op::Forward, Op::Backward];
const MERGES: &[Op] = &[Op::Merge, Op::Unmerge];
const UPDATES: &[Op] = &[Op::Step, Op::Trajectory];
const NUMBERS: &[Op] =
    &[Op::Forward, Op::Backward, Op::Step, Op::Trajectory, Op::Merge, Op::Unmerge];

impl Mutant {
    /// Of all methods, in all ops that compute numbers.
    const fn new(name: &'static str, what: &'static str, way: Way) -> Self {
        let (methods, ops) = (ALL, NUMBERS);
        Self { name, what, seen: "", methods, ops, honest_in_bf16: false, way }
    }

    const fn seen(mut self, seen: &'static str) -> Self {
        self.seen = seen;
        self
    }

    const fn of(mut self, methods: &'static [Method]) -> Self {
        self.methods = methods;
        self
    }

    const fn in_ops(mut self, ops: &'static [Op]) -> Self {
        self.ops = ops;
        self
    }

    const fn honest_in_bf16(mut self) -> Self {
        self.honest_in_bf16 = true;
        self
    }

    /// Does it give numbers where an error is expected?
    pub(crate) fn ignores_errors(&self) -> bool {
        matches!(self.way, Way::Numbers)
    }

    /// What somebody with this mistake computes in the place of the `right` results; `None` where it does not apply, or
    /// computes nothing at all.
    pub(crate) fn outputs(
        &self,
        op: Op,
        problem: &Problem,
        right: &[Output],
    ) -> Option<Vec<Output>> {
        if !self.methods.contains(&problem.method) || !self.ops.contains(&op) {
            return None;
        }
        match self.way {
            Way::Problem(change) => {
                let mut mistaken = problem.clone();
                if !change(&mut mistaken, op) {
                    return None;
                }
                evaluate(op, &mistaken).ok()
            }
            Way::Outputs(change) => change(problem, op, right).ok().flatten(),
            Way::Numbers => None,
        }
    }
}

impl std::fmt::Display for Mutant {
    /// The sentence, and where it was seen.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.seen {
            "" => f.write_str(self.what),
            seen => write!(f, "{}, as in {seen}", self.what),
        }
    }
}

/// All of them, in the order in which the checker tries them: of two that explain as much, the first is named.
pub fn mutants() -> impl Iterator<Item = &'static Mutant> {
    let groups = [
        scale::MUTANTS,
        dropout::MUTANTS,
        transposed::MUTANTS,
        vera::MUTANTS,
        moves::MUTANTS,
        projected_gradient::MUTANTS,
        update::MUTANTS,
        gradients::MUTANTS,
        init::MUTANTS,
        REFUSALS,
    ];
    groups.into_iter().flatten()
}

const REFUSALS: &[Mutant] =
    &[Mutant::new("no-refusal", "numbers where the input must be refused", Way::Numbers)];

/// Replace a parameter; false if it was that before.
fn put<T: PartialEq>(place: &mut T, value: T) -> bool {
    let changed = *place != value;
    *place = value;
    changed
}

/// The problem with another factor on s; on λ_b in VeRA, which has no s.
fn factor(problem: &mut Problem, factor: f64) -> bool {
    match problem.method {
        Method::Vera => factor != 1.0 && problem.inputs.change("vera_lambda_b", |b| *b *= factor),
        _ => {
            problem.scale_factor = factor;
            factor.is_finite() && factor != 1.0
        }
    }
}

/// The results of a changed problem.
fn changed(
    problem: &Problem,
    op: Op,
    change: impl FnOnce(&mut Problem) -> bool,
) -> Result<Option<Vec<Output>>> {
    let mut mistaken = problem.clone();
    if change(&mut mistaken) { evaluate(op, &mistaken).map(Some) } else { Ok(None) }
}

/// The right results, and those of a changed problem where `wrong` says so by name.
fn mixed(
    problem: &Problem,
    op: Op,
    right: &[Output],
    wrong: fn(&str) -> bool,
    change: impl FnOnce(&mut Problem) -> bool,
) -> Result<Option<Vec<Output>>> {
    let Some(mistaken) = changed(problem, op, change)? else { return Ok(None) };
    let pick = |right: &Output| {
        let other = mistaken.iter().find(|other| other.name == right.name && wrong(&other.name));
        other.unwrap_or(right).clone()
    };
    Ok(Some(right.iter().map(pick).collect()))
}

/// One result replaced by another value, which may be off by up to `times` of what the right one may be.
fn with_value(right: &[Output], name: &str, value: ArrayD<f64>, times: f64) -> Vec<Output> {
    let replace = |output: &Output| match output.name == name {
        true => {
            let bound = output.bound.clone();
            let bound = Arc::new(move |units: &_| bound(units) * times);
            Output { value: value.clone(), bound, ..output.clone() }
        }
        false => output.clone(),
    };
    right.iter().map(replace).collect()
}

fn named<'a>(outputs: &'a [Output], name: &str) -> Option<&'a Output> {
    outputs.iter().find(|output| output.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_kebab_case() {
        let mut names: Vec<_> = mutants().map(|mutant| mutant.name).collect();
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        assert!(names.iter().all(|name| name.bytes().all(plain)), "{names:?}");
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        assert!(names.len() >= 40, "{}", names.len());
    }
}
