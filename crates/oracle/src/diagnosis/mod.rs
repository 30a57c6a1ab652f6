//! One diagnosis for a whole submission: the fewest mistakes that explain what is wrong, or silence.
//!
//! # When a mistake explains a case
//! The case is computed once more with the mistake in it. The mistake explains the case if these results agree with what
//! was submitted in **every** tensor, the right ones included, within the bound, and if they are further from the right
//! ones than rounding is, in each tensor that fails. Every wrong element must be nearer to the mistake than to right.
//!
//! # When a case is against a mistake
//! The mistake is further from right than its own bound and the case's together, and the submission does not show it. An
//! implementation that makes a mistake makes it in every case where it shows, so one case of this kind clears the whole
//! group of cases (a method's op) of the mistake. Cases that pass count too: they are asked about every mistake that
//! a case that fails is for. Two mistakes at once are tried where each is refuted and one is seen alone.
//!
//! # When it is called by name
//! When it has 20 bits for it. A wrong number that has nothing to do with a mistake lies within the mistake's bound once
//! in D, where D is how far the mistake is from right, in units of both bounds: log₂ D bits. So one element that is off by
//! 5 % in bf16 is worth less than one bit, which is no reason to call anything by name. A tensor that is a multiple of the
//! right one is a single number, its factor, however many elements it has: many faults multiply by 2. A 0 is worth
//! nothing: it stands wherever nothing was written. The bits of all cases are added.
//!
//! # Which are named
//! The smallest set that explains as many cases as all that stand. Of two that explain the same cases it is said that it
//! is one of them; where several sets are as small, only what is in all of them is named. What is left is described in
//! numbers (`kind.rs`), and only where they fit every wrong element.

mod cover;
mod evidence;
mod kind;
mod lineup;
mod mistake;
mod report;
mod stand;

pub(crate) use cover::{Named, cover};
pub(crate) use evidence::{Evidence, Witness, no_refusal};
pub(crate) use lineup::{Lineup, Says, Submitted, both};
pub(crate) use mistake::{ALONE, Mistake};
use report::in_words;
pub use report::{Diagnosis, Explanation, Left};
pub(crate) use stand::{Ask, Heard};

use crate::case::parse_id;
use crate::judge::{Report, Verdict};

/// What explains these reports; each report that fails is told what explains it.
pub(crate) fn diagnose(reports: &mut [Report], ask: &Ask<'_>) -> Diagnosis {
    let judged: Vec<usize> =
        (0..reports.len()).filter(|at| reports[*at].verdict != Verdict::NotRun).collect();
    let heard = judged.iter().map(|&at| {
        let (method, op) = parse_id(&reports[at].case).expect("checked when the case was read");
        let evidence = reports[at].evidence.as_ref();
        let says = evidence.map(|evidence| evidence.says.clone());
        Heard { method, op, failed: reports[at].verdict == Verdict::Fail, says }
    });
    let heard: Vec<Heard> = heard.collect();
    let named = cover(&heard, &|at, mistakes| ask(judged[at], mistakes));
    for (n, &at) in judged.iter().enumerate().filter(|(n, _)| heard[*n].failed) {
        let explains = named.iter().find(|one| one.cases.contains(&n)).map(ToString::to_string);
        let report = &mut reports[at];
        let kinds =
            report.evidence.iter().map(|evidence| in_words(&evidence.kinds, ToString::to_string));
        report.hypothesis = explains.or_else(|| kinds.filter(|text| !text.is_empty()).next());
    }
    let failed = judged.iter().enumerate().filter(|(n, _)| heard[*n].failed).map(|(n, &at)| {
        let kinds = reports[at].evidence.as_ref().map(|evidence| evidence.kinds.as_slice());
        (n, (reports[at].case.as_str(), kinds.unwrap_or_default()))
    });
    Diagnosis::new(judged.len(), &failed.collect(), &named)
}
