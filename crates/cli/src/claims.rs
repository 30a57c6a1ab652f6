//! `lowrank claims`: what the five papers claim, and what comes out when it is computed.

use anyhow::Result;
use claims::{Claim, Finding};
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Width};
use serde_json::json;

use crate::output::{self, Format};

/// The options of `lowrank claims`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// `lowrank claims`.
pub fn main(args: &Args) -> Result<()> {
    let claims = ::claims::all()?;
    match args.format {
        Format::Table => print(&claims),
        Format::Json => claims.iter().for_each(|claim| say!("{}", json(claim))),
    }
    Ok(())
}

fn json(claim: &Claim) -> serde_json::Value {
    let finding = |finding: &Finding| {
        json!({
            "of": finding.of,
            "printed": finding.printed,
            "computed": finding.computed,
            "values": finding.values,
            "verdict": finding.verdict.to_string(),
        })
    };
    json!({
        "claim": claim.number,
        "paper": claim.paper.label(),
        "arxiv": claim.paper.arxiv(),
        "statement": claim.statement,
        "verdict": claim.verdict().to_string(),
        "findings": claim.findings.iter().map(finding).collect::<Vec<_>>(),
        "note": claim.note,
    })
}

fn print(claims: &[Claim]) {
    let header = ["", "claim", "of", "paper says", "we get", "verdict"];
    let mut table = output::table(&header, &claims.iter().map(row).collect::<Vec<_>>());
    // 120 characters. Only the claim may wrap: the lines of the other columns belong together.
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(120);
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_cell_alignment(CellAlignment::Left);
        column.set_constraint(match i {
            1 => ColumnConstraint::UpperBoundary(Width::Fixed(40)),
            _ => ColumnConstraint::ContentWidth,
        });
    }
    say!("{table}");
    for claim in claims {
        if let Some(note) = claim.note {
            say!("{}: {note}", claim.number);
        }
    }
}

/// A claim's findings, one below the other.
fn row(claim: &Claim) -> Vec<String> {
    let lines = |text: fn(&Finding) -> String| {
        claim.findings.iter().map(text).collect::<Vec<_>>().join("\n")
    };
    vec![
        claim.number.to_string(),
        // No line ends within an equation.
        format!("{}: {}", claim.paper.label(), claim.statement.replace(" = ", "\u{a0}=\u{a0}")),
        lines(|finding| finding.of.to_owned()),
        lines(|finding| finding.printed.unwrap_or_default().to_owned()),
        lines(|finding| finding.computed.clone()),
        lines(|finding| finding.verdict.to_string()),
    ]
}
