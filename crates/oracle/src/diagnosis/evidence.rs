//! What a case that was judged has to say.

use safetensors::tensor::Dtype;

use super::kind::{Compared, Kind};
use super::lineup::{Lineup, Says, Submitted, both};
use super::mistake::Mistake;
use crate::bound::Units;
use crate::case::{Class, Method, Op};
use crate::judge::{Bench, same};
use crate::mutants::{careless, mutants};

/// What a case says of each mistake, and of what is wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// Mistakes that it speaks for or against.
    pub says: Vec<(Mistake, Says)>,
    /// The kind of what is wrong, by tensor, in the order in which they are computed.
    pub(super) kinds: Vec<(String, Kind)>,
}

/// A submission of a case, judged.
pub(crate) struct Witness<'a> {
    pub bench: &'a Bench,
    pub submitted: Submitted,
    /// The type of each tensor that is numbers of the right shape.
    pub dtypes: Vec<Option<Dtype>>,
}

impl Witness<'_> {
    fn units(&self, name: &str) -> Option<Units> {
        let at = self.bench.expected.iter().position(|(output, _)| output.name == name)?;
        self.bench.judge.units(self.dtypes[at]?).map(|(_, units)| units)
    }

    /// Everything, of a case that fails.
    pub fn all(&self) -> Evidence {
        let right = self.bench.right();
        let mut lineup = Lineup::new(self.bench, &|name| self.units(name));
        for (mutant, outputs) in self.bench.mistaken(mutants(), &right) {
            lineup.add(self.bench, &|name| self.units(name), Mistake::of(mutant), &outputs);
        }
        Evidence { says: lineup.ask(&self.submitted), kinds: self.kinds() }
    }

    /// Of these mistakes, in their order.
    pub fn of(&self, mistakes: &[Mistake]) -> Vec<Says> {
        let right = self.bench.right();
        let of = |mistake: &Mistake| {
            let mut lineup = Lineup::new(self.bench, &|name| self.units(name));
            let made = match mistake.second {
                Some(second) => both(self.bench, mistake.first, second),
                None => mistake.first.outputs(self.bench.op, &self.bench.problem, &right),
            };
            let Some(made) = made else { return Says::Nothing };
            let whole = Mistake { only: None, ..*mistake };
            lineup.add(self.bench, &|name| self.units(name), whole, &made);
            let answers = lineup.ask(&self.submitted);
            let answer = answers.iter().find(|(asked, _)| asked.key() == mistake.key());
            answer.map_or(Says::Nothing, |(_, says)| *says)
        };
        mistakes.iter().map(of).collect()
    }

    fn kinds(&self) -> Vec<(String, Kind)> {
        let failed = (0..self.dtypes.len()).filter(|at| !self.submitted.passes[*at]);
        failed.map(|at| (self.bench.expected[at].0.name.clone(), self.kind(at))).collect()
    }

    fn kind(&self, at: usize) -> Kind {
        let (output, want) = &self.bench.expected[at];
        let (Some(got), Some(units)) = (&self.submitted.values[at], self.units(&output.name))
        else {
            return Kind::NotThere;
        };
        let bound = self.bench.judge.bound(output, &units);
        let exact = self.bench.class == Class::Exact;
        let wrong = got.iter().zip(want).zip(&bound).map(|((got, want), bound)| {
            let within = (got - want).abs() <= *bound && got.is_finite() && want.is_finite();
            !same(*got, *want) && (exact || !within)
        });
        let others = self.bench.expected.iter().filter(|(other, _)| other.name != output.name);
        Compared {
            got: Some(got),
            want,
            bound: &bound,
            wrong: wrong.collect(),
            others: others.map(|(other, want)| (other.name.as_str(), want)).collect(),
        }
        .kind()
    }
}

/// Of a case that must be refused and was not.
pub(crate) fn no_refusal(method: Method, op: Op) -> Evidence {
    // It is a fact, no inference from numbers.
    let says = careless(method, op).map(|mutant| (Mistake::of(mutant), Says::For(f64::INFINITY)));
    Evidence { says: says.into_iter().collect(), kinds: Vec::new() }
}
