//! `lowrank follow`: the first step of a training run that is not what its own state gives, and where two runs part.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use oracle::{Followed, FollowedStep, Options, Parting, Profile, Run, StepId, Verdict};
use serde_json::{Value, json};

use crate::oracle::print;
use crate::output::{self, Format};

/// The options of `lowrank follow`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// A folder of recorded steps, `<number>-backward.safetensors` and `<number>-step.safetensors`
    run: PathBuf,
    /// Another run, to see where the two part
    other: Option<PathBuf>,
    /// f64, f32, tf32, bf16 or fp16 [default: by the type of each tensor]
    #[arg(long)]
    profile: Option<Profile>,
    /// Every step that is wrong, in full: without it the first one
    #[arg(long)]
    verbose: bool,
    /// How to report: a text, or JSON lines
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// `lowrank follow`: 0 every step that could be judged is right, 1 one is not, 2 unreadable input, 3 nothing of a run could be
/// judged.
pub fn main(args: &Args) -> Result<ExitCode> {
    let options = Options { profile: args.profile };
    let mut judged = Vec::new();
    for folder in [Some(&args.run), args.other.as_ref()].into_iter().flatten() {
        let run = Run::open(folder)?;
        let followed = oracle::follow(&run, options)?;
        judged.push((folder.display().to_string(), run, followed));
    }
    let parting = match judged.as_slice() {
        [first, second] => Some(oracle::part(&first.1, &second.1, options)?),
        _ => None,
    };
    let text = match args.format {
        Format::Table => table(&judged, parting.as_ref(), args.verbose),
        Format::Json => json(&judged, parting.as_ref()),
    };
    print(&text)?;
    let mut code = 0_u8;
    for (name, _, followed) in &judged {
        warn(name, followed);
        if followed.first_wrong().is_some() {
            code = 1;
        } else if count(followed, Some(true)) == 0 {
            let way_out = match args.profile {
                Some(_) => "leave --profile out, or name a wider one",
                None => "record the run in a wider type, such as F32",
            };
            tell!("error: {name}: no record could be judged: {way_out}");
            if code == 0 {
                code = 3;
            }
        }
    }
    Ok(ExitCode::from(code))
}

/// A run's name, what was recorded, and the verdict on it.
type Judged = (String, Run, Followed);

/// How many of its records are right or wrong, or could not be judged.
fn count(followed: &Followed, right: Option<bool>) -> usize {
    followed.steps.iter().filter(|step| step.right() == right).count()
}

/// What is odd about the records, each remark once: a run may have thousands of them.
fn warn(name: &str, followed: &Followed) {
    let mut remarks = BTreeMap::<&str, (&StepId, usize)>::new();
    for step in &followed.steps {
        for remark in &step.report.warnings {
            remarks.entry(remark.as_str()).or_insert((&step.id, 0)).1 += 1;
        }
    }
    for (remark, (first, records)) in remarks {
        let more = match records - 1 {
            0 => String::new(),
            1 => ", and another record".to_owned(),
            more => format!(", and {} more records", output::count(more)),
        };
        tell!("warning: {name}: {first}{more}: {remark}");
    }
}

fn table(judged: &[Judged], parting: Option<&Option<Parting>>, verbose: bool) -> String {
    let mut text: String =
        judged.iter().map(|(name, _, followed)| verdict(name, followed, verbose)).collect();
    match (parting, judged) {
        (Some(Some(parting)), [first, second]) => {
            text += &parted(parting, [(&first.0, &first.2), (&second.0, &second.2)]);
        }
        (Some(None), _) => {
            text += "\nThe two never differ by more than rounding explains in one step.\n";
        }
        _ => {}
    }
    text
}

/// Lines of JSON: of each record those that `check` has of a case, with the run, the record and what it broke with; of each
/// run its diagnosis; and of two runs where they part.
fn json(judged: &[Judged], parting: Option<&Option<Parting>>) -> String {
    let mut lines = Vec::new();
    for (name, _, followed) in judged {
        for step in &followed.steps {
            for mut line in oracle::json(&step.report) {
                line["run"] = json!(name);
                line["record"] = json!(step.id.to_string());
                line["breaks"] = json!(step.breaks);
                lines.push(line);
            }
        }
        let first = followed.first_wrong().map(|step| step.id.to_string());
        let diagnosis = followed.diagnosis.json();
        let open = count(followed, None);
        lines.push(json!({ "run": name, "first_wrong": first, "not_judged": open, "diagnosis": diagnosis }));
    }
    if let Some(parting) = parting {
        let parting = parting.as_ref().map(|parting| {
            let named = |(name, first, second): &(String, Value, Value)| {
                json!({ "name": name, "first": first, "second": second })
            };
            json!({
                "record": parting.id.to_string(),
                "output": parting.output.as_ref().map(|(name, ratio)| json!({ "tensor": name, "bounds": ratio })),
                "params": parting.params.iter().map(named).collect::<Vec<_>>(),
                "inputs": parting.inputs.iter().map(|(name, far)| json!({ "tensor": name, "relative": far })).collect::<Vec<_>>(),
            })
        });
        lines.push(json!({ "parting": parting }));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The verdict on a run, and the first step that is wrong.
fn verdict(name: &str, followed: &Followed, verbose: bool) -> String {
    let recorded = output::count(followed.steps.len());
    let wrong: Vec<_> = followed.steps.iter().filter(|step| step.right() == Some(false)).collect();
    let open = not_judged(followed);
    if wrong.is_empty() {
        return match &open {
            None => {
                format!("{name}: each of its {recorded} records is right{}\n", in_part(followed))
            }
            Some(open) => {
                let right = output::count(count(followed, Some(true)));
                let in_part = in_part(followed);
                format!("{name}: of its {recorded} records {right} are right{in_part}, {open}\n")
            }
        };
    }
    let mut text =
        format!("{name}: {} of its {recorded} records are wrong", output::count(wrong.len()));
    if let Some(open) = &open {
        text += &format!(", {open}");
    }
    if let Some(first) = wrong.iter().find(|step| step.report.verdict == Verdict::Fail) {
        text += &format!("\nFrom step {} on: {}", first.id.number, followed.diagnosis);
    }
    for step in &wrong[..if verbose { wrong.len() } else { 1 }] {
        text += &format!("\n\n{}{}", if verbose { "" } else { "The first: " }, step.id);
        for broken in &step.breaks {
            text += &format!("\n  {broken}");
        }
        if step.report.verdict == Verdict::Fail {
            // Without its first line, the id of the case.
            let report = step.report.to_string();
            text += &format!("\n{}", report.split_once('\n').map_or("", |(_, rest)| rest));
        }
    }
    text + "\n\n"
}

/// Of how many right records some tensor could not be judged.
fn in_part(followed: &Followed) -> String {
    let open = |step: &&FollowedStep| {
        let mut verdicts = step.report.findings.iter().map(|finding| finding.verdict);
        step.right() == Some(true) && verdicts.any(|verdict| verdict == Verdict::NotRun)
    };
    match followed.steps.iter().filter(open).count() {
        0 => String::new(),
        number => format!(" ({} of them judged in part)", output::count(number)),
    }
}

/// How many records could not be judged, and why the first of them could not; `None` if all could.
fn not_judged(followed: &Followed) -> Option<String> {
    let first = followed.steps.iter().find(|step| step.right().is_none())?;
    let why = first.report.findings.iter().find_map(|finding| finding.note.as_deref());
    let number = output::count(count(followed, None));
    Some(format!("{number} could not be judged: {}", why.unwrap_or("nothing can be said")))
}

/// Where two runs part, and which of them is right there.
fn parted(parting: &Parting, runs: [(&String, &Followed); 2]) -> String {
    let mut text = format!("The two part in {}.\n", parting.id);
    for (name, first, second) in &parting.params {
        text += &format!("  {name} is {first} in the first and {second} in the second\n");
    }
    if let Some((tensor, ratio)) = &parting.output {
        text += &format!("  out.{tensor} differs by {ratio:.2e} times what rounding explains\n");
    }
    for (name, far) in &parting.inputs {
        text += &format!("  {name} was already different, by {far:.1e} of its largest entry\n");
    }
    if parting.inputs.is_empty() {
        text += "  their inputs are the same\n";
    }
    let words = runs.map(|(name, followed)| match followed.right(&parting.id) {
        Some(true) => format!("{name} is right there"),
        Some(false) => format!("{name} is wrong there"),
        None => format!("{name} could not be judged there"),
    });
    text + &format!("  {}\n", words.join(", "))
}
