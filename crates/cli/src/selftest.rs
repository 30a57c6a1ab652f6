//! `lowrank selftest`: why the oracle may be trusted.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use oracle::selftest::{
    Called, Confusion, Contrast, Made, MutantRow, Outcome, PRECISIONS, RULES, SelfTest, Settings,
    contrast, rows,
};
use oracle::{Method, Op};
use serde_json::{Value, json};

use crate::output::Progress;
use crate::{oracle as verbs, output};

/// The options of `lowrank selftest`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The folder of the cases
    #[arg(long, value_name = "DIR", default_value = verbs::CASES)]
    cases: PathBuf,
    /// Only this method; may be repeated
    #[arg(long)]
    method: Vec<Method>,
    /// Only this op; may be repeated
    #[arg(long)]
    op: Vec<Op>,
    /// generate.py, which makes the cases again [default: that of the repository around the cases]
    #[arg(long, value_name = "FILE")]
    generator: Option<PathBuf>,
    /// Do not make the cases again: the longest part, and the only one that needs Python
    #[arg(long, conflicts_with_all = ["generator", "require_generator"])]
    no_generator: bool,
    /// Fail if the cases cannot be made again, where it would say SKIPPED
    #[arg(long)]
    require_generator: bool,
    /// How to report
    #[arg(long, value_enum, default_value = "table")]
    format: output::Format,
}

/// 0, or 5 when a part failed.
pub fn main(args: &Args) -> Result<ExitCode> {
    verbs::there(&args.cases)?;
    let settings = Settings {
        vectors: args.cases.clone(),
        generator: args.generator.clone(),
        no_generator: args.no_generator,
        methods: args.method.clone(),
        ops: args.op.clone(),
    };
    let bar = Progress::new(0, "self-test");
    let mut test = oracle::selftest::selftest(&settings, &|done, all| {
        bar.set_length(all as u64);
        bar.set(done as u64, String::new());
    })?;
    let contrast = if settings.everything() { Some(contrast()?) } else { None };
    bar.finish();
    if args.require_generator {
        for (_, outcome) in &mut test.parts {
            if let Outcome::Skipped(why) = outcome {
                *outcome = Outcome::Failed(vec![why.clone()]);
            }
        }
    }
    verbs::print(&match args.format {
        output::Format::Table => table(&test, contrast.as_ref()),
        output::Format::Json => {
            lines(&test, contrast.as_ref()).iter().map(|line| format!("{line}\n")).collect()
        }
    })?;
    Ok(if test.passed() { ExitCode::SUCCESS } else { ExitCode::from(5) })
}

/// The kill matrix by mutants, what the usual tolerances would say, what the diagnosis says, then the parts: the verdict
/// stands last.
fn table(test: &SelfTest, contrast: Option<&[Contrast; 2]>) -> String {
    let mut header = vec!["mutant", "cases"];
    let names = PRECISIONS.map(|precision| precision.to_string());
    names.iter().for_each(|name| header.extend([name.as_str(), "certain"]));
    let cells = |row: &MutantRow| {
        let mut cells = vec![row.mutant.name.to_owned(), output::count(row.changed)];
        for precision in 0..PRECISIONS.len() {
            let honest = precision == 1 && row.mutant.honest_in_bf16;
            let counts = [row.killed[precision], row.certain[precision]];
            cells.extend(counts.map(|n| if honest { "honest".into() } else { output::count(n) }));
        }
        cells
    };
    let mutants: Vec<_> =
        rows(&test.matrix).iter().filter(|row| row.changed > 0).map(cells).collect();
    let mut text = format!(
        "{}\n\ncases: that the mutant changes. f32, bf16: that fail it. certain: that fail it however it rounds.\n\n",
        output::lines(&header, &mutants)
    );
    if let Some(contrast) = contrast {
        text += &contrasted(contrast);
    }
    text += &confused(&test.confusion);
    for (name, outcome) in &test.parts {
        text += &match outcome {
            Outcome::Passed(shown) => format!("PASS     {name}: {shown}\n"),
            Outcome::Skipped(why) => format!("SKIPPED  {name}: {why}\n"),
            Outcome::Failed(wrong) => {
                let lines = wrong.join("\n         ");
                format!("FAIL     {name}:\n         {lines}\n")
            }
        };
    }
    text
}

/// On ordinary layers: which mutants each rule fails, and which right results.
fn contrasted(contrast: &[Contrast; 2]) -> String {
    let mut rows = Vec::new();
    for (precision, contrast) in PRECISIONS.iter().zip(contrast) {
        for (rule, name) in ["the bound"].into_iter().chain(RULES.map(|(name, _)| name)).enumerate()
        {
            let of = |some: usize, all: usize| format!("{some} of {all}");
            rows.push(vec![
                format!("{precision}, {name}"),
                of(contrast.killed(rule), contrast.mutants),
                of(contrast.refused[rule], contrast.honest),
            ]);
        }
    }
    let header = ["on ordinary layers, 256 x 256", "mutants failed", "right results failed"];
    format!("{}\n\n", output::lines(&header, &rows))
}

/// What the diagnosis calls each mistake in each method, and how often it calls a fault that has no name.
fn confused(confusion: &[Confusion]) -> String {
    let methods: Vec<Method> =
        confusion.iter().map(|one| one.method).collect::<BTreeSet<_>>().into_iter().collect();
    let made: Vec<String> = confusion.iter().map(|one| one.made.to_string()).collect();
    let (mut mistakes, mut others, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (at, name) in made.iter().enumerate().filter(|(_, name)| seen.insert((*name).clone())) {
        let of =
            || confusion.iter().zip(&made).filter(|(_, made)| *made == name).map(|(one, _)| one);
        if let Made::Mistake(_) = confusion[at].made {
            let cell = |method: &Method| {
                PRECISIONS
                    .map(|precision| {
                        let is =
                            |one: &&Confusion| one.method == *method && one.precision == precision;
                        of().find(is).map_or(".".into(), |one| match &one.called {
                            Called::Right(1) => "y".into(),
                            Called::Right(several) => format!("y/{several}"),
                            Called::Silent => "-".into(),
                            Called::Otherwise(_) => "NO".to_owned(),
                        })
                    })
                    .join(" ")
            };
            mistakes.push([vec![name.clone()], methods.iter().map(cell).collect()].concat());
        } else {
            let count = |is: &dyn Fn(&Called) -> bool| {
                output::count(of().filter(|one| is(&one.called)).count())
            };
            others.push(vec![
                name.clone(),
                output::count(of().map(|one| one.failed).sum()),
                count(&|called| *called == Called::Silent),
                count(&|called| matches!(called, Called::Right(_))),
                count(&|called| matches!(called, Called::Otherwise(_))),
            ]);
        }
    }
    let names: Vec<String> = methods.iter().map(ToString::to_string).collect();
    let header: Vec<&str> =
        ["the diagnosis of"].into_iter().chain(names.iter().map(String::as_str)).collect();
    format!(
        "{}\n\nIn f32 and in bf16, all cases of the method submitted with this mistake. y: called by its name, y/2: called one \
         of 2 that the\ncases cannot tell apart, -: called by none, NO: called by another, .: no case fails.\n\n{}\n\n",
        output::lines(&header, &mistakes),
        output::lines(
            &["the diagnosis of what has no name", "cases", "silent", "named", "wrong"],
            &others
        )
    )
}

/// A line for each part, each mutant, and each case with the mutants that it fails.
fn lines(test: &SelfTest, contrast: Option<&[Contrast; 2]>) -> Vec<Value> {
    let mut lines = Vec::new();
    for (name, outcome) in &test.parts {
        let (verdict, notes) = match outcome {
            Outcome::Passed(shown) => ("PASS", vec![shown.clone()]),
            Outcome::Skipped(why) => ("SKIPPED", vec![why.clone()]),
            Outcome::Failed(wrong) => ("FAIL", wrong.clone()),
        };
        lines.push(json!({ "part": name, "verdict": verdict, "notes": notes }));
    }
    for row in rows(&test.matrix).iter().filter(|row| row.changed > 0) {
        let mut line = json!({
            "mutant": row.mutant.name,
            "what": row.mutant.what,
            "seen": row.mutant.seen,
            "methods": row.mutant.methods,
            "ops": row.mutant.ops,
            "cases": row.changed,
            "honest_in_bf16": row.mutant.honest_in_bf16,
        });
        for (precision, name) in PRECISIONS.iter().enumerate() {
            let rules = RULES.iter().zip(row.rules[precision]);
            let rules: serde_json::Map<String, Value> =
                rules.map(|((rule, _), count)| ((*rule).to_owned(), count.into())).collect();
            line[name.to_string()] = json!({
                "killed": row.killed[precision],
                "certain": row.certain[precision],
                "others": rules,
            });
        }
        lines.push(line);
    }
    for (precision, contrast) in PRECISIONS.iter().zip(contrast.into_iter().flatten()) {
        for (rule, name) in ["bound"].into_iter().chain(RULES.map(|(name, _)| name)).enumerate() {
            lines.push(json!({
                "ordinary layers": precision.to_string(),
                "rule": name,
                "mutants": contrast.mutants,
                "missed": contrast.missed[rule],
                "right": contrast.honest,
                "right_failed": contrast.refused[rule],
            }));
        }
    }
    for one in &test.confusion {
        let (kind, called) = (
            match one.made {
                Made::Mistake(_) => "mistake",
                Made::Two(_) => "two mistakes",
                Made::InRule(..) => "a mistake in one kind of update",
                Made::Fault(_) => "no mistake of the catalogue",
            },
            match &one.called {
                Called::Right(1) => "by its name".to_owned(),
                Called::Right(several) => format!("one of {several}"),
                Called::Silent => "by none".to_owned(),
                Called::Otherwise(name) => format!("otherwise: {name}"),
            },
        );
        lines.push(json!({
            "submitted": one.made.to_string(),
            "kind": kind,
            "method": one.method,
            "precision": one.precision.to_string(),
            "failed": one.failed,
            "explained": one.explained,
            "called": called,
        }));
    }
    for row in &test.matrix {
        let mut line = json!({ "case": row.id });
        for (precision, name) in PRECISIONS.iter().enumerate() {
            let failed = row.cells.iter().filter(|cell| cell.kills[precision].killed);
            line[name.to_string()] = failed.map(|cell| cell.mutant.name).collect();
        }
        let passed = row.cells.iter().filter(|cell| !cell.kills.iter().any(|kill| kill.killed));
        line["passed"] = passed.map(|cell| cell.mutant.name).collect();
        lines.push(line);
    }
    lines
}
