//! `lowrank follow`: the first step of a training run that is not what its own state gives, and where two runs part.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use oracle::{Followed, Options, Parting, Profile, Run, Verdict};
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

/// `lowrank follow`: 0 every step is right, 1 one is not, 2 unreadable input.
pub fn main(args: &Args) -> Result<ExitCode> {
    let options = Options { profile: args.profile };
    let mut judged = Vec::new();
    for folder in [Some(&args.run), args.other.as_ref()].into_iter().flatten() {
        let run = Run::open(folder)?;
        let followed = oracle::follow(&run, options)?;
        judged.push((folder.display().to_string(), run, followed));
    }
    let parting = match judged.as_slice() {
        [first, second] => Some(oracle::part(&first.1, &second.1)?),
        _ => None,
    };
    let text = match args.format {
        Format::Table => table(&judged, parting.as_ref(), args.verbose),
        Format::Json => json(&judged, parting.as_ref()),
    };
    print(&text)?;
    let right = judged.iter().all(|(_, _, followed)| followed.first_wrong().is_none());
    Ok(ExitCode::from(u8::from(!right)))
}

/// A run's name, what was recorded, and the verdict on it.
type Judged = (String, Run, Followed);

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
        lines.push(json!({ "run": name, "first_wrong": first, "diagnosis": diagnosis }));
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
    let wrong: Vec<_> = followed.steps.iter().filter(|step| !step.right()).collect();
    if wrong.is_empty() {
        return format!("{name}: each of its {recorded} records is right\n");
    }
    let mut text =
        format!("{name}: {} of its {recorded} records are wrong", output::count(wrong.len()));
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
        _ => format!("{name} is wrong there"),
    });
    text + &format!("  {}\n", words.join(", "))
}
