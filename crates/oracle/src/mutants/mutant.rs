//! A mistake, and the results that it gives.

use std::fmt;

use crate::case::{Method, Op};
use crate::error::Result;
use crate::ops::{Output, Problem, evaluate};

/// The methods with an s.
pub(super) const SCALED: &[Method] =
    &[Method::Lora, Method::LoraFa, Method::DeltaLora, Method::LoraPlus, Method::Dora];
/// The methods with dropout.
pub(super) const MASKED: &[Method] =
    &[Method::Lora, Method::LoraFa, Method::Vera, Method::LoraPlus, Method::Dora];
/// The methods that add a term to x Wᵀ: all but DoRA.
pub(super) const ADDED: &[Method] =
    &[Method::Lora, Method::LoraFa, Method::Vera, Method::DeltaLora, Method::LoraPlus];
/// Of these, those with an s, and those with dropout.
pub(super) const ADDED_SCALED: &[Method] =
    &[Method::Lora, Method::LoraFa, Method::DeltaLora, Method::LoraPlus];
pub(super) const ADDED_MASKED: &[Method] =
    &[Method::Lora, Method::LoraFa, Method::Vera, Method::LoraPlus];
pub(super) const LAYER: &[Op] =
    &[Op::Forward, Op::Backward, Op::Trajectory, Op::Merge, Op::Unmerge];
pub(super) const PASSES: &[Op] = &[Op::Forward, Op::Backward, Op::Trajectory];
pub(super) const PASS: &[Op] = &[Op::Forward, Op::Backward];
pub(super) const MERGES: &[Op] = &[Op::Merge, Op::Unmerge];
pub(super) const UPDATES: &[Op] = &[Op::Step, Op::Trajectory];
/// The ops that compute numbers; `init` draws them.
const NUMBERS: &[Op] =
    &[Op::Forward, Op::Backward, Op::Step, Op::Trajectory, Op::Merge, Op::Unmerge];

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
    /// It lies in the precision: in bf16 honest code may be as far off.
    pub honest_in_bf16: bool,
    /// May it be made in one tensor of a backward pass alone? Not where another mistake of the list, made so, is the same.
    pub(crate) alone: bool,
    change: Change,
}

/// How the mistake is made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// Puts the mistake into the problem; false if it would change nothing.
    OfProblem(fn(&mut Problem, Op) -> bool),
    /// Makes wrong results of the problem and its right ones; `None` if it would change nothing.
    OfOutputs(fn(&Problem, Op, &[Output]) -> Result<Option<Vec<Output>>>),
    /// Gives numbers where an error is expected.
    NoRefusal,
}

impl Mutant {
    /// Of all methods, in all ops that compute numbers.
    pub(super) const fn new(name: &'static str, what: &'static str, change: Change) -> Self {
        let (methods, ops) = (Method::ALL, NUMBERS);
        let (seen, honest_in_bf16, alone) = ("", false, true);
        Self { name, what, seen, methods, ops, honest_in_bf16, alone, change }
    }

    /// Where it was made.
    pub(super) const fn seen(mut self, seen: &'static str) -> Self {
        self.seen = seen;
        self
    }

    /// Of these methods only.
    pub(super) const fn of(mut self, methods: &'static [Method]) -> Self {
        self.methods = methods;
        self
    }

    /// In these ops only.
    pub(super) const fn in_ops(mut self, ops: &'static [Op]) -> Self {
        self.ops = ops;
        self
    }

    /// In bf16 honest code may be as far off.
    pub(super) const fn honest_in_bf16(mut self) -> Self {
        self.honest_in_bf16 = true;
        self
    }

    /// It is what another mistake of the list is when made in these tensors.
    pub(super) const fn never_alone(mut self) -> Self {
        self.alone = false;
        self
    }

    /// Does it give numbers where these must be refused?
    pub(crate) fn ignores_errors_of(&self, method: Method, op: Op) -> bool {
        let applies = self.methods.contains(&method) && self.ops.contains(&op);
        applies && matches!(self.change, Change::NoRefusal)
    }

    /// What somebody with this mistake computes in the place of the `right` results; `None` where it does not apply, or
    /// computes nothing at all.
    pub(crate) fn outputs(
        &self,
        op: Op,
        problem: &Problem,
        right: &[Output],
    ) -> Option<Vec<Output>> {
        match self.change {
            Change::OfProblem(_) => evaluate(op, &self.problem(op, problem)?).ok(),
            Change::OfOutputs(change) if self.applies(op, problem) => {
                change(problem, op, right).ok().flatten()
            }
            _ => None,
        }
    }

    /// The problem with the mistake in it; `None` where it does not apply, changes nothing, or lies in the results.
    pub(crate) fn problem(&self, op: Op, problem: &Problem) -> Option<Problem> {
        let Change::OfProblem(change) = self.change else { return None };
        let mut mistaken = problem.clone();
        (self.applies(op, problem) && change(&mut mistaken, op)).then_some(mistaken)
    }

    fn applies(&self, op: Op, problem: &Problem) -> bool {
        self.methods.contains(&problem.method) && self.ops.contains(&op)
    }
}

impl fmt::Display for Mutant {
    /// The sentence, and where it was seen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seen {
            "" => f.write_str(self.what),
            seen => write!(f, "{}, as in {seen}", self.what),
        }
    }
}
