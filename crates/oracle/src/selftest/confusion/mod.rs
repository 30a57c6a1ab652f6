//! What the diagnosis says of whole submissions whose mistake is known: each mistake of the catalogue in each method, and
//! faults that are in no catalogue.

mod fault;
mod trial;

use std::fmt;
use std::path::PathBuf;

pub use fault::{FAULTS, Fault, IN_RULES, PAIRS};
use trial::Tried;
pub(super) use trial::{Trial, refusals, trials};

use super::jobs::run;
use super::precisions::PRECISIONS;
use crate::bound::Profile;
use crate::case::{Method, Op, Rule, read_case};
use crate::diagnosis::{Heard, Named, Says, cover};
use crate::mutants::{Mutant, mutants};

/// A case with all that was tried on it.
pub(super) struct Tested {
    pub path: PathBuf,
    pub method: Method,
    pub op: Op,
    pub rule: Option<Rule>,
    pub trials: Vec<Trial>,
}

/// What was submitted.
#[derive(Clone, Copy, Debug)]
pub enum Made {
    /// A mistake of the catalogue.
    Mistake(&'static Mutant),
    /// Two of them.
    Two([&'static str; 2]),
    /// One of them, in one kind of update alone.
    InRule(&'static str, Rule),
    /// A fault that has no name.
    Fault(&'static Fault),
}

/// How it was called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// By its name; with others, if it is more than one, that the cases cannot tell from it.
    Right(usize),
    /// By another name.
    Otherwise(String),
    /// By none.
    Silent,
}

/// A whole submission of one method in one precision.
#[derive(Clone, Debug)]
pub struct Confusion {
    /// What is wrong with it.
    pub made: Made,
    /// Its method.
    pub method: Method,
    /// Its precision.
    pub precision: Profile,
    /// How many cases fail: at least one.
    pub failed: usize,
    /// How many of them are explained.
    pub explained: usize,
    /// What the diagnosis calls it.
    pub called: Called,
}

/// Every submission that fails at least one case, diagnosed.
pub(super) fn confusion(cases: &[Tested]) -> Vec<Confusion> {
    let catalogue: Vec<&'static Mutant> = mutants().collect();
    let tried = (0..catalogue.len())
        .map(Tried::Mutant)
        .chain((0..FAULTS.len()).map(Tried::Fault))
        .chain((0..PAIRS.len()).map(Tried::Pair))
        .chain((0..IN_RULES.len()).map(Tried::InRule));
    let jobs: Vec<(Tried, Method, usize)> = tried
        .flat_map(|tried| Method::ALL.iter().map(move |method| (tried, *method)))
        .flat_map(|(tried, method)| [0, 1].map(|precision| (tried, method, precision)))
        .collect();
    let diagnosed = run(&jobs, &|_, _| {}, |(tried, method, precision)| {
        let cases: Vec<&Tested> = cases.iter().filter(|case| case.method == *method).collect();
        diagnose(&catalogue, &cases, *tried, *precision)
    });
    diagnosed.into_iter().flatten().collect()
}

fn diagnose(
    catalogue: &[&'static Mutant],
    cases: &[&Tested],
    tried: Tried,
    precision: usize,
) -> Option<Confusion> {
    let place = |name: &str| catalogue.iter().position(|mutant| mutant.name == name);
    // In a case of another kind of update it is not made.
    let tried_on = |case: &Tested| match tried {
        Tried::InRule(at) => match (IN_RULES[at], case.rule) {
            ((name, rule), Some(of)) if rule == of => {
                place(name).map_or(Tried::Nothing, Tried::Mutant)
            }
            _ => Tried::Nothing,
        },
        other => other,
    };
    let of = |case: &&Tested| {
        let find = |tried| {
            let is = |trial: &&Trial| trial.tried == tried && trial.precision == precision;
            case.trials.iter().find(is).cloned()
        };
        // Where it cannot be made, right results are submitted.
        find(tried_on(case)).or_else(|| find(Tried::Nothing))
    };
    if let Tried::Pair(at) = tried {
        // Two only where each of them shows in some case.
        let shows = |mutant: usize| {
            let is = |trial: &Trial| trial.tried == Tried::Mutant(mutant) && trial.failed;
            let mut trials = cases.iter().flat_map(|case| &case.trials);
            trials.any(|trial| is(trial) && trial.precision == precision)
        };
        if !PAIRS[at].into_iter().filter_map(place).all(shows) {
            return None;
        }
    }
    let trials: Vec<Option<Trial>> = cases.iter().map(of).collect();
    let failed = trials.iter().flatten().filter(|trial| trial.failed).count();
    if failed == 0 {
        return None;
    }
    let heard: Vec<Heard> = cases
        .iter()
        .zip(&trials)
        .map(|(case, trial)| Heard {
            method: case.method,
            op: case.op,
            rule: case.rule,
            failed: trial.as_ref().is_some_and(|trial| trial.failed),
            says: Some(trial.as_ref().map_or(Vec::new(), |trial| trial.says(catalogue))),
        })
        .collect();
    let named = cover(&heard, &|at, mistakes| {
        let says = read_case(&cases[at].path).and_then(|(case, file)| {
            trial::ask_again(&case, &file, tried_on(cases[at]), precision, mistakes)
        });
        says.unwrap_or_else(|_| vec![Says::Nothing; mistakes.len()])
    });
    let explained: std::collections::BTreeSet<usize> =
        named.iter().flat_map(|one| &one.cases).copied().collect();
    let (made, names) = match tried {
        Tried::Mutant(at) => (Made::Mistake(catalogue[at]), vec![catalogue[at].name]),
        Tried::Fault(at) => (Made::Fault(&FAULTS[at]), Vec::new()),
        Tried::Pair(at) => (Made::Two(PAIRS[at]), PAIRS[at].to_vec()),
        Tried::InRule(at) => (Made::InRule(IN_RULES[at].0, IN_RULES[at].1), vec![IN_RULES[at].0]),
        Tried::Nothing => return None,
    };
    let rule = if let Made::InRule(_, rule) = made { Some(rule) } else { None };
    Some(Confusion {
        made,
        method: cases.first()?.method,
        precision: PRECISIONS[precision],
        failed,
        explained: explained.len(),
        called: called(&names, rule, &named),
    })
}

/// Was it called by its names, all of them and no other, where it was made?
fn called(names: &[&str], rule: Option<Rule>, named: &[Named]) -> Called {
    if named.is_empty() {
        return Called::Silent;
    }
    let mut found: Vec<&str> = Vec::new();
    for one in named {
        // One of those that the cases cannot tell apart is what was made, if any is.
        let right = one.one_of.iter().find(|mistake| {
            let second = mistake.second.map(|second| second.name);
            let all = [Some(mistake.first.name), second];
            let place = mistake.only.is_none() && mistake.rule == rule;
            place && all.iter().flatten().all(|name| names.contains(name))
        });
        match right {
            Some(right) => {
                found.push(right.first.name);
                found.extend(right.second.map(|second| second.name));
            }
            None => return Called::Otherwise(all_of(named)),
        }
    }
    match names.iter().all(|name| found.contains(name)) {
        true => Called::Right(named.iter().map(|one| one.one_of.len()).max().unwrap_or(1)),
        false => Called::Otherwise(all_of(named)),
    }
}

fn all_of(named: &[Named]) -> String {
    named.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mistake(mutant) => f.write_str(mutant.name),
            Self::Two([first, second]) => write!(f, "{first} and {second}"),
            Self::InRule(name, rule) => write!(f, "{name} in {rule} alone"),
            Self::Fault(fault) => f.write_str(fault.what),
        }
    }
}

impl fmt::Display for Confusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { made, method, precision, failed, explained, .. } = self;
        write!(f, "{made} in {method}, {precision}: {explained} of {failed} cases ")?;
        match &self.called {
            Called::Right(1) => f.write_str("called by its name"),
            Called::Right(several) => write!(f, "called one of {several}"),
            Called::Silent => f.write_str("called by no name"),
            Called::Otherwise(name) => write!(f, "called: {name}"),
        }
    }
}
