//! Which mistakes stand: some case is for them, none is against them, and that is no chance.

use std::collections::{BTreeMap, BTreeSet};

use super::lineup::Says;
use super::mistake::{ALONE, Mistake};
use crate::case::{Method, Op, Rule};
use crate::mutants::{Mutant, mutants};

/// What a mistake must have in its favour to be called by name, in bits, beside those that it takes to choose it among all
/// that are tried: a fault that has nothing to do with any of them is called by a name once in 2¹¹ times.
const ENOUGH: f64 = 11.0;

/// A case that was judged.
pub(crate) struct Heard {
    pub method: Method,
    pub op: Op,
    /// Which update it makes, if it makes one.
    pub rule: Option<Rule>,
    pub failed: bool,
    /// What it says of each mistake of the catalogue; `None` if it was not asked.
    pub says: Option<Vec<(Mistake, Says)>>,
}

/// Asks a case about mistakes, in their order.
pub(crate) type Ask<'a> = dyn Fn(usize, &[Mistake]) -> Vec<Says> + 'a;

/// A mistake with the cases for it in the groups where none is against it.
#[derive(Clone)]
pub(super) struct Standing {
    pub mistake: Mistake,
    pub bits: f64,
    pub cases: BTreeSet<usize>,
}

impl Standing {
    pub fn of(mistake: Mistake) -> Self {
        Self { mistake, bits: 0.0, cases: BTreeSet::new() }
    }

    fn hear(&mut self, at: usize, says: Says) {
        if let Says::For(bits) = says {
            self.bits += bits;
            self.cases.insert(at);
        }
    }

    /// Is it no chance?
    pub fn is_enough(&self) -> bool {
        let names = |mutant: &Mutant| {
            let in_tensors = if mutant.ops.contains(&Op::Backward) { ALONE.len() } else { 0 };
            let updates = [Op::Step, Op::Trajectory].iter().any(|op| mutant.ops.contains(op));
            let ways = 1 + in_tensors + if updates { Rule::ALL.len() } else { 0 };
            // Those that are tried where it was seen.
            let ops = self.mistake.first.ops.iter().any(|op| mutant.ops.contains(op));
            if ops { ways } else { 0 }
        };
        let tried: usize = mutants().map(names).sum();
        self.bits >= ENOUGH + (tried as f64).log2() * self.mistake.count() as f64
    }
}

/// The mistakes that no case of a group is against, alone or two at once.
pub(super) fn in_group(heard: &[Heard], group: &[usize], ask: &Ask<'_>) -> Vec<Standing> {
    let mut tried = BTreeMap::<_, (Standing, bool)>::new();
    for &at in group {
        for (mistake, says) in heard[at].says.iter().flatten() {
            let (standing, refuted) =
                tried.entry(mistake.key()).or_insert_with(|| (Standing::of(*mistake), false));
            standing.hear(at, *says);
            *refuted |= *says == Says::Against;
        }
    }
    tried.retain(|_, (standing, _)| !standing.cases.is_empty());
    // A case that passes was not asked about all: only about those that others are for.
    let open = tried.values().filter(|(_, refuted)| !refuted);
    let open: Vec<Mistake> = open.map(|(standing, _)| standing.mistake).collect();
    for &at in group.iter().filter(|at| heard[**at].says.is_none() && !open.is_empty()) {
        for (mistake, says) in open.iter().zip(ask(at, &open)) {
            if let Some((_, refuted)) = tried.get_mut(&mistake.key()) {
                *refuted |= says == Says::Against;
            }
        }
    }
    let (refuted, clear): (Vec<_>, Vec<_>) = tried.into_values().partition(|(_, refuted)| *refuted);
    let mut clear: Vec<Standing> = clear.into_iter().map(|(standing, _)| standing).collect();
    let explained: BTreeSet<usize> = clear.iter().flat_map(|one| &one.cases).copied().collect();
    let left = |at: &usize| heard[*at].failed && !explained.contains(at);
    let left: Vec<usize> = group.iter().copied().filter(left).collect();
    if !left.is_empty() {
        let seen_alone = refuted.iter().map(|(standing, _)| standing);
        let seen_alone = seen_alone.filter(|one| one.is_enough() && one.mistake.is_everywhere());
        clear.extend(two_at_once(heard, group, &left, seen_alone, ask));
    }
    clear
}

/// Mistakes of one kind of update, where what stands in the `whole` group leaves failures of that kind unexplained.
pub(super) fn in_one_rule(
    heard: &[Heard],
    group: &[usize],
    whole: &[Standing],
    ask: &Ask<'_>,
) -> Vec<Standing> {
    let explained: BTreeSet<usize> = whole.iter().flat_map(|one| &one.cases).copied().collect();
    let mut standing = Vec::new();
    for rule in Rule::ALL {
        let is = |at: &&usize| heard[**at].rule == Some(rule);
        let part: Vec<usize> = group.iter().filter(is).copied().collect();
        let left = |at: &usize| heard[*at].failed && !explained.contains(at);
        if part.len() < group.len() && part.iter().any(left) {
            let single = in_group(heard, &part, ask).into_iter();
            let single = single.filter(|one| {
                let known = whole.iter().any(|other| other.mistake.key() == one.mistake.key());
                one.mistake.count() == 1 && !known
            });
            standing.extend(single.map(|one| Standing {
                mistake: Mistake { rule: Some(rule), ..one.mistake },
                ..one
            }));
        }
    }
    standing
}

/// Two mistakes, one of which some cases show alone: where both show, the results are those of neither. `None` too where
/// more than one pair explains as much.
fn two_at_once<'a>(
    heard: &[Heard],
    group: &[usize],
    left: &[usize],
    seen_alone: impl Iterator<Item = &'a Standing>,
    ask: &Ask<'_>,
) -> Option<Standing> {
    let Heard { method, op, .. } = heard[left[0]];
    let fits = |mutant: &&Mutant| mutant.methods.contains(&method) && mutant.ops.contains(&op);
    let mut pairs = BTreeMap::new();
    for one in seen_alone {
        for other in mutants().filter(fits).filter(|other| other.name != one.mistake.first.name) {
            let pair = Mistake::two(one.mistake.first, other);
            pairs.insert(pair.key(), Standing::of(pair));
        }
    }
    let mut pairs: Vec<Standing> = pairs.into_values().collect();
    // The cases that no mistake alone explains come first: they leave few pairs.
    let rest = group.iter().filter(|at| !left.contains(at));
    for &at in left.iter().chain(rest) {
        if pairs.is_empty() {
            return None;
        }
        let mistakes: Vec<Mistake> = pairs.iter().map(|pair| pair.mistake).collect();
        let answers = ask(at, &mistakes);
        pairs.iter_mut().zip(&answers).for_each(|(pair, says)| pair.hear(at, *says));
        let mut answers = answers.into_iter();
        pairs.retain(|_| answers.next() != Some(Says::Against));
    }
    let explains = |pair: &Standing| left.iter().filter(|at| pair.cases.contains(at)).count();
    let most = pairs.iter().map(explains).max().filter(|most| *most > 0)?;
    let mut best = pairs.iter().filter(|pair| pair.is_enough() && explains(pair) == most);
    best.next().filter(|_| best.next().is_none()).cloned()
}

/// A mistake that explains one op of a method is not it, if in another op a case that nothing explains is against it: what
/// is wrong there shows here as well, and only looks like the mistake.
pub(super) fn refute(heard: &[Heard], standing: &mut Vec<Standing>) {
    loop {
        let explained: BTreeSet<usize> =
            standing.iter().flat_map(|one| &one.cases).copied().collect();
        let mut refuted = BTreeSet::new();
        for (at, case) in heard.iter().enumerate() {
            if case.failed && !explained.contains(&at) {
                let against = case.says.iter().flatten().filter(|(_, says)| *says == Says::Against);
                refuted.extend(against.map(|(mistake, _)| (case.method, case.rule, mistake.key())));
            }
        }
        let before = standing.len();
        standing.retain(|one| {
            let method = one.cases.first().map(|at| heard[*at].method);
            let everywhere = Mistake { rule: None, ..one.mistake }.key();
            !refuted.iter().any(|(of, rule, key)| {
                let here = one.mistake.rule.is_none() || one.mistake.rule == *rule;
                Some(*of) == method && here && *key == everywhere
            })
        });
        if standing.len() == before {
            return;
        }
    }
}
