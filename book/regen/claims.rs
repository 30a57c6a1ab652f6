//! What the papers claim and what we get, and the claims that do not follow from their own formulas.

use std::fmt::Write;

use anyhow::Result;
use claims::{Claim, Finding, Verdict};
use methods::Method;
use picture::{Bars, Panel};

use book::Page;
use book::figure::{Chart, Line, figure};

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
    Ok(vec![
        Page::rounded("claims.md", table),
        Page::rounded("claims-differ.md", differ),
        Page::exact("claims.svg.html", verdicts(&claims)),
        Page::rounded("claims-exponents.svg.html", exponents()),
    ])
}

/// How many claims of each paper have which verdict.
fn verdicts(claims: &[Claim]) -> String {
    let mut papers: Vec<Method> = claims.iter().map(|claim| claim.paper).collect();
    papers.dedup();
    papers.sort_by_key(|paper| Method::ALL.iter().position(|method| method == paper));
    papers.dedup();
    let panel = |verdict: Verdict| Panel {
        title: verdict.to_string(),
        values: papers
            .iter()
            .map(|paper| {
                let is = |claim: &&Claim| claim.paper == *paper && claim.verdict() == verdict;
                claims.iter().filter(is).count()
            })
            .map(|count| (count as f64, count.to_string()))
            .collect(),
    };
    let all = [Verdict::Agrees, Verdict::Rounded, Verdict::Differs, Verdict::Measured];
    let bars = Bars {
        title: format!("{} claims, by paper and verdict", claims.len()),
        names: papers.iter().map(|paper| paper.label().to_owned()).collect(),
        panels: all.map(panel).into(),
    };
    let caption = "Most claims agree, to the last digit or rounded. Those that differ are listed below, with the reason where we know it. All bars have one scale. Drawn by \
                   <code>cargo xtask regen</code>.";
    picture::figure("charts", &[bars.draw_counts("claims")], caption)
}

/// Claim 31: by how much the second update of LoRA+'s toy model f = b aᵀx changes f through B, at one rate and at two.
fn exponents() -> String {
    let change = |exponent: i32, rates: fn(f64) -> [f64; 2]| {
        let n = 2_f64.powi(exponent);
        let [lr_a, lr_b] = rates(n);
        // x is all ones; a starts with aᵀx = 1, b with 0, and f shall be 1. What counts of a is h = aᵀx.
        let (mut h, mut b) = (1.0, 0.0);
        let mut through_b = 0.0;
        for _ in 0..2 {
            let u = b * h - 1.0;
            through_b = f64::abs(lr_b * h * h * u);
            (h, b) = (h - lr_a * u * b * n, b - lr_b * u * h);
        }
        (f64::from(exponent), through_b)
    };
    let line = |name: &str, rates: fn(f64) -> [f64; 2]| Line {
        name: name.into(),
        points: (4..=14).map(|exponent| change(exponent, rates)).collect(),
    };
    let chart = Chart {
        title: "What B's move does to f in the second update".into(),
        axes: ["log₂ of the width n".into(), "change of f".into()],
        ranges: [4.0..14.0, 1e-3..1.0],
        log: true,
        square: false,
        lines: vec![
            line("two rates", |n| [0.2 / n, 0.2]),
            line("one rate", |n| [0.2 / n.sqrt(); 2]),
        ],
    };
    let caption = "Claim 31. With ηA = 0.2/n and ηB = 0.2 an update changes f by as much at every width. With one rate, the largest that does not blow up, it changes f less \
                   and less.";
    figure("claims-exponents", caption, &[chart])
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
