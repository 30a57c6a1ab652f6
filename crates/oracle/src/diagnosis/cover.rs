//! Which mistakes explain a submission: those that stand, and the fewest of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::mistake::Mistake;
use super::stand::{Ask, Heard, Standing, in_group, in_one_rule, refute};
use crate::case::{Method, Op};
use crate::mutants::mutants;

/// More classes of mistakes than this, and the cover is the greedy one.
const MOST: usize = 12;

/// Mistakes that these cases cannot tell apart, and the cases that they explain.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub one_of: Vec<Mistake>,
    pub cases: BTreeSet<usize>,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.one_of.iter().map(ToString::to_string).collect();
        let one_of = if texts.len() > 1 { "one of: " } else { "" };
        write!(f, "{one_of}{}", texts.join(" | "))
    }
}

/// The fewest mistakes that explain the most cases.
pub(crate) fn cover(heard: &[Heard], ask: &Ask<'_>) -> Vec<Named> {
    let mut groups = BTreeMap::<(Method, Op), Vec<usize>>::new();
    for (at, case) in heard.iter().enumerate() {
        groups.entry((case.method, case.op)).or_default().push(at);
    }
    let mut standing = Vec::<Standing>::new();
    for group in groups.values().filter(|group| group.iter().any(|at| heard[*at].failed)) {
        let whole = in_group(heard, group, ask);
        standing.extend(in_one_rule(heard, group, &whole, ask));
        standing.extend(whole);
    }
    refute(heard, &mut standing);
    narrow(heard, &mut standing);
    let mut whole = BTreeMap::<_, Standing>::new();
    for one in standing {
        let key = one.mistake.key();
        let entry = whole.entry(key).or_insert_with(|| Standing::of(one.mistake));
        entry.bits += one.bits;
        entry.cases.extend(one.cases);
    }
    let named = smallest(classes(whole.into_values().filter(Standing::is_enough)));
    most_of_each_method(heard, named)
}

/// What one op shows to be made in one kind of update alone is no more than that in another op either, if there too only
/// that kind shows it.
fn narrow(heard: &[Heard], standing: &mut [Standing]) {
    let method = |one: &Standing| one.cases.first().map(|at| heard[*at].method);
    let alone: Vec<_> = standing
        .iter()
        .filter(|one| one.mistake.rule.is_some())
        .map(|one| (method(one), one.mistake.key()))
        .collect();
    for one in standing.iter_mut().filter(|one| one.mistake.rule.is_none()) {
        let rule = one.cases.first().and_then(|at| heard[*at].rule);
        let same = rule.is_some() && one.cases.iter().all(|at| heard[*at].rule == rule);
        let narrower = Mistake { rule, ..one.mistake };
        if same && alone.contains(&(method(one), narrower.key())) {
            one.mistake = narrower;
        }
    }
}

/// Nothing is named in a method unless at least half of what fails there is explained: what explains less is likely to
/// be what something else looks like in some cases.
fn most_of_each_method(heard: &[Heard], mut named: Vec<Named>) -> Vec<Named> {
    let methods: BTreeSet<Method> = heard.iter().map(|case| case.method).collect();
    for method in methods {
        let of = |at: &usize| heard[*at].method == method;
        let failed = (0..heard.len()).filter(|at| of(at) && heard[*at].failed).count();
        let explained: BTreeSet<usize> =
            named.iter().flat_map(|one| &one.cases).copied().filter(of).collect();
        if 2 * explained.len() < failed {
            named.iter_mut().for_each(|one| one.cases.retain(|at| !of(at)));
        }
    }
    named.retain(|one| !one.cases.is_empty());
    named
}

/// Mistakes that explain the same cases together; without those that explain some of what another explains.
fn classes(standing: impl Iterator<Item = Standing>) -> Vec<Named> {
    let mut classes = BTreeMap::<BTreeSet<usize>, Vec<Mistake>>::new();
    for one in standing {
        classes.entry(one.cases).or_default().push(one.mistake);
    }
    let all: Vec<BTreeSet<usize>> = classes.keys().cloned().collect();
    classes.retain(|cases, _| !all.iter().any(|more| more != cases && more.is_superset(cases)));
    let place = |mistake: &Mistake| mutants().position(|listed| listed.name == mistake.first.name);
    let named = |(cases, mut one_of): (_, Vec<Mistake>)| {
        // One mistake is simpler than two, and everywhere is simpler than in one tensor or one kind of update.
        let simple = |mistake: &Mistake| (mistake.count(), !mistake.is_everywhere());
        one_of.sort_by_key(|mistake| (simple(mistake), place(mistake)));
        let simplest = simple(&one_of[0]);
        one_of.retain(|mistake| simple(mistake) == simplest);
        Named { one_of, cases }
    };
    classes.into_iter().map(named).collect()
}

/// The fewest of them that explain as many cases as all. Where several choices are as small, only what is in all of them
/// is named: which of the others it is, the cases do not say.
fn smallest(classes: Vec<Named>) -> Vec<Named> {
    let all: BTreeSet<usize> = classes.iter().flat_map(|one| &one.cases).copied().collect();
    if classes.len() > MOST {
        return greedy(classes, all);
    }
    let mut best: Option<(usize, Vec<u32>)> = None;
    for choice in 0..1_u32 << classes.len() {
        let chosen =
            || (0..classes.len()).filter(|at| choice >> at & 1 == 1).map(|at| &classes[at]);
        let size: usize = chosen().map(|one| one.one_of[0].count()).sum();
        if best.as_ref().is_some_and(|(least, _)| size > *least) {
            continue;
        }
        let covered: BTreeSet<usize> = chosen().flat_map(|one| &one.cases).copied().collect();
        if covered != all {
            continue;
        }
        match &mut best {
            Some((least, choices)) if *least == size => choices.push(choice),
            best => *best = Some((size, vec![choice])),
        }
    }
    let in_all = best.map_or(0, |(_, choices)| choices.iter().fold(u32::MAX, |a, b| a & b));
    let chosen = classes.into_iter().enumerate().filter(|(at, _)| in_all >> at & 1 == 1);
    let mut named: Vec<Named> = chosen.map(|(_, one)| one).collect();
    named.sort_by_key(|one| std::cmp::Reverse(one.cases.len()));
    named
}

/// The one that explains most of what is left, again and again.
fn greedy(mut classes: Vec<Named>, mut left: BTreeSet<usize>) -> Vec<Named> {
    let mut named = Vec::new();
    while !left.is_empty() {
        let gain = |one: &Named| one.cases.intersection(&left).count();
        let Some(at) = (0..classes.len()).max_by_key(|at| gain(&classes[*at])) else { break };
        let one = classes.swap_remove(at);
        left.retain(|case| !one.cases.contains(case));
        named.push(one);
    }
    named
}
