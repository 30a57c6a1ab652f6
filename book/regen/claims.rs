//! What the papers claim and what we get, and the claims that do not follow from their own formulas.

use std::fmt::Write;

use anyhow::Result;
use claims::{Claim, Finding, Verdict};

use crate::Page;

pub fn pages() -> Result<Vec<Page>> {
    let claims = claims::all()?;
    let mut table = String::from(
        "| | claim | of | paper says | we get | verdict |\n|--:|---|---|---|---|---|\n",
    );
    let mut differ = String::new();
    for claim in &claims {
        writeln!(table, "| {} {}", claim.number, row(claim))?;
        if claim.verdict() == Verdict::Differs {
            writeln!(differ, "{}", difference(claim))?;
        }
    }
    Ok(vec![Page::rounded("claims.md", table), Page::rounded("claims-differ.md", differ)])
}

fn row(claim: &Claim) -> String {
    // Unbroken, so that a finding's number and verdict stand on its line.
    let lines = |text: fn(&Finding) -> String| {
        let lines = claim.findings.iter().map(|finding| text(finding).replace(' ', "\u{a0}"));
        lines.collect::<Vec<_>>().join("<br>")
    };
    format!(
        "| {}: {} | {} | {} | {} | {} |",
        claim.paper.label(),
        claim.statement,
        lines(|finding| finding.of.to_owned()),
        lines(|finding| finding.printed.unwrap_or_default().to_owned()),
        lines(|finding| finding.computed.clone()),
        lines(|finding| finding.verdict.to_string()),
    )
}

/// An item of a list: the claim, both numbers, and the reason.
fn difference(claim: &Claim) -> String {
    let differing = claim.findings.iter().filter(|finding| finding.verdict == Verdict::Differs);
    let numbers = differing.map(|Finding { of, printed, computed, .. }| {
        let of = if of.is_empty() { String::new() } else { format!(" for {of}") };
        format!("printed {}{of}, computed {computed}", printed.unwrap_or_default())
    });
    format!(
        "- **{}** ({}). {}: {}. {}",
        claim.number,
        claim.paper.label(),
        claim.statement,
        numbers.collect::<Vec<_>>().join("; "),
        claim.note.unwrap_or_default(),
    )
}
