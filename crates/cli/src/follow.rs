//! `lowrank follow`: the first step of a training run that is not what its own state gives, and where two runs part.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use oracle::{Followed, Options, Parting, Profile, Run, Verdict};

use crate::oracle::print;
use crate::output;

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
}

/// `lowrank follow`: 0 every step is right, 1 one is not, 2 unreadable input.
pub fn main(args: &Args) -> Result<ExitCode> {
    let options = Options { profile: args.profile };
    let (mut text, mut judged) = (String::new(), Vec::new());
    for folder in [Some(&args.run), args.other.as_ref()].into_iter().flatten() {
        let run = Run::open(folder)?;
        let followed = oracle::follow(&run, options)?;
        let name = folder.display().to_string();
        text += &verdict(&name, &followed, args.verbose);
        judged.push((name, run, followed));
    }
    if let [first, second] = judged.as_slice() {
        text += &match oracle::part(&first.1, &second.1)? {
            None => "\nThe two never differ by more than rounding explains in one step.\n".into(),
            Some(parting) => parted(&parting, [(&first.0, &first.2), (&second.0, &second.2)]),
        };
    }
    print(&text)?;
    let right = judged.iter().all(|(_, _, followed)| followed.first_wrong().is_none());
    Ok(ExitCode::from(u8::from(!right)))
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
