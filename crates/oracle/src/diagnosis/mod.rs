//! One diagnosis for a whole submission: the fewest mistakes that explain what is wrong, or silence. A false accusation
//! costs its reader an afternoon.
//!
//! # When a case speaks for a mistake, and when against it (`lineup.rs`)
//! The case is computed once more with the mistake in it. It speaks **for** the mistake if it fails and these results agree
//! with what was submitted in every tensor, the right ones included, within the bound; in each tensor that fails the
//! mistake must be further from right than right may be off, at an element that is wrong. It speaks **against** the
//! mistake if the mistake changes a tensor and what was submitted is not the changed one. Where the mistake changes
//! nothing, the case says nothing. Numbers of the mistake that are not finite never speak against it: NaN for NaN agrees,
//! and is no evidence.
//!
//! # When a mistake stands (`stand.rs`)
//! Code that makes a mistake makes it in every case of an op. So it stands in an op of a method if some case speaks for it
//! and none against it, cases that pass included. It also falls if a case of another op of the method, which nothing
//! explains, speaks against it: what is wrong there is wrong here too, and only looks like the mistake. What an op that
//! updates leaves unexplained is asked once more by SGD and by each variant of AdamW: code has a branch for each, and may
//! be wrong in one. Two at once are tried where one of them is seen alone in some cases, and only if a single pair
//! explains the most.
//!
//! # When it is called by name
//! By the evidence, in bits. A wrong number that has nothing to do with a mistake lies within the mistake's bound once in
//! D, where D is how far the mistake is from right in units of both bounds: log₂ D bits. All elements and all cases are
//! added, with two exceptions. A tensor that is a multiple of the right one is a single number, its factor, however many
//! elements it has: many faults multiply by 2. A 0 is worth nothing: it stands wherever nothing was written. A mistake
//! needs 11 bits beside those that choose it among all that are tried, so that a fault of no name gets one in 2¹¹
//! submissions at most. One element that is off by 5 % in bf16 is worth less than one bit.
//!
//! # Which are named (`cover.rs`)
//! The smallest set that explains as many cases as all that stand, found by trying every set; from 13 classes on by taking
//! what explains the most of the rest. Of mistakes that explain the same cases it is said that it is one of them; where
//! several sets are as small, only what is in all of them is named. In a method of which less than half of the failures
//! is explained nothing is named.
//!
//! What is left is described in numbers, and only by what holds of every wrong element (`kind.rs`).

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
        let (rule, failed) = (reports[at].rule, reports[at].verdict == Verdict::Fail);
        Heard { method, op, rule, failed, says }
    });
    let heard: Vec<Heard> = heard.collect();
    let named = cover(&heard, &|at, mistakes| ask(judged[at], mistakes));
    for (n, &at) in judged.iter().enumerate().filter(|(n, _)| heard[*n].failed) {
        let explains = named.iter().find(|one| one.cases.contains(&n)).map(ToString::to_string);
        let report = &mut reports[at];
        let mut kinds =
            report.evidence.iter().map(|evidence| in_words(&evidence.kinds, ToString::to_string));
        report.hypothesis = explains.or_else(|| kinds.find(|text| !text.is_empty()));
    }
    let failed = judged.iter().enumerate().filter(|(n, _)| heard[*n].failed).map(|(n, &at)| {
        let kinds = reports[at].evidence.as_ref().map(|evidence| evidence.kinds.as_slice());
        (n, (reports[at].case.as_str(), kinds.unwrap_or_default()))
    });
    Diagnosis::new(judged.len(), &failed.collect(), &named)
}
