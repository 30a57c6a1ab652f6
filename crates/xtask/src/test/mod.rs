//! Everything CI checks, in numbered steps.

mod steps;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::tally::Tally;
use crate::unchanged::Inputs;
use crate::{disk, openblas, processor_time, wheel};
use steps::STEPS;

struct Step {
    name: &'static str,
    what: &'static str,
    run: fn() -> Result<Outcome>,
    /// For an expensive step: what it depends on, with its programs built.
    inputs: Option<fn() -> Result<Inputs>>,
}

/// How a step that did not fail ended. A failure is an `Err`.
enum Outcome {
    Passed,
    /// It counted this when it last passed, and nothing that it depends on has changed since.
    Unchanged(Tally),
    Skipped(String),
    /// A run of tests, with what it counted and, if it failed, why.
    Counted(Tally, Result<()>),
}

/// `cargo xtask test [--list | --all | STEP...]`.
pub fn main(arguments: &[String]) -> Result<ExitCode> {
    if arguments.iter().any(|argument| argument == "--list") {
        for step in &STEPS {
            println!("{:<13} {}", step.name, step.what);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut names = arguments.iter().filter(|argument| *argument != "--all").peekable();
    // A step that is asked for by name runs in any case.
    let anew = !arguments.is_empty();
    let every = names.peek().is_none();
    if let Some(name) = names.find(|name| !STEPS.iter().any(|step| step.name == **name)) {
        let names = STEPS.map(|step| step.name).join(", ");
        bail!("unknown step `{name}`; there are {names}");
    }
    if every {
        disk::ensure()?;
    }
    openblas::ensure()?;
    if every || arguments.iter().any(|name| name == "python") {
        wheel::begin();
    }
    let chosen = |step: &&Step| every || arguments.iter().any(|name| name == step.name);
    Ok(run_steps(&STEPS.iter().filter(chosen).collect::<Vec<_>>(), anew))
}

fn run_steps(steps: &[&Step], anew: bool) -> ExitCode {
    let (start, cpu_start) = (Instant::now(), processor_time::seconds());
    let (mut total, mut table) = (Tally::default(), Vec::new());
    let header =
        format!("{:<13} {:>9}{}", "step", "wall s", cpu_start.map_or("", |_| "     CPU s"));
    for (index, step) in steps.iter().enumerate() {
        println!("\n[{}/{}] {}: {}", index + 1, steps.len(), step.name, step.what);
        let (start, cpu_start) = (Instant::now(), processor_time::seconds());
        let (tally, verdict) = judge(run_step(step, anew));
        total += tally;
        let row = format!("{}  {verdict}", row(step.name, start, cpu_start));
        println!("{row}");
        table.push(row);
    }
    println!("\n{header}\n{}\n{}", table.join("\n"), row("all", start, cpu_start));
    println!("\n{total}");
    if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A name, and the seconds since the start: by the clock, and of the processor where it can be told.
fn row(name: &str, start: Instant, cpu_start: Option<f64>) -> String {
    let cpu =
        processor_time::seconds().zip(cpu_start).map(|(now, then)| format!(" {:>9.1}", now - then));
    format!("{name:<13} {:>9.1}{}", start.elapsed().as_secs_f64(), cpu.unwrap_or_default())
}

fn run_step(step: &Step, anew: bool) -> Result<Outcome> {
    let Some(inputs) = step.inputs else { return (step.run)() };
    if let Some(counted) = if anew { None } else { inputs()?.passed() } {
        return Ok(Outcome::Unchanged(counted));
    }
    let outcome = (step.run)()?;
    let counted = match &outcome {
        Outcome::Passed => Some(Tally { passed: 1, ..Tally::default() }),
        Outcome::Counted(tally, Ok(())) if tally.failed == 0 => Some(*tally),
        _ => None,
    };
    if let Some(counted) = counted {
        // Asked for again: the step may have built or fetched some of it.
        inputs()?.keep(counted)?;
    }
    Ok(outcome)
}

/// A step that is no run of tests counts as one check.
fn judge(outcome: Result<Outcome>) -> (Tally, String) {
    match outcome {
        Ok(Outcome::Passed) => (Tally { passed: 1, ..Tally::default() }, "ok".into()),
        Ok(Outcome::Unchanged(tally)) => (tally, format!("unchanged: {tally}")),
        Ok(Outcome::Skipped(why)) => {
            (Tally { skipped: 1, ..Tally::default() }, format!("SKIPPED {why}"))
        }
        Ok(Outcome::Counted(tally, Ok(()))) => (tally, tally.to_string()),
        Ok(Outcome::Counted(mut tally, Err(error))) => {
            // What does not compile, or dies, prints no failed test.
            tally.failed = tally.failed.max(1);
            (tally, format!("FAILED {tally}: {error:#}"))
        }
        Err(error) => (Tally { failed: 1, ..Tally::default() }, format!("FAILED {error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_run_that_dies_without_a_failed_test_is_a_failure() {
        let passed = Tally { passed: 7, failed: 0, skipped: 1 };
        let (tally, verdict) = judge(Ok(Outcome::Counted(passed, Err(anyhow!("signal 11")))));
        assert_eq!(tally, Tally { failed: 1, ..passed });
        assert!(verdict.starts_with("FAILED"), "{verdict}");
        let two = Tally { failed: 2, ..passed };
        assert_eq!(judge(Ok(Outcome::Counted(two, Err(anyhow!("exit 101"))))).0, two);
    }

    #[test]
    fn other_steps_count_as_one_check() {
        let one = Tally { passed: 1, failed: 0, skipped: 0 };
        assert_eq!(judge(Ok(Outcome::Passed)).0, one);
        let (tally, verdict) = judge(Ok(Outcome::Unchanged(one)));
        assert_eq!(tally, one);
        assert_eq!(verdict, "unchanged: 1 passed, 0 failed, 0 skipped");
        assert_eq!(judge(Err(anyhow!("no"))).0, Tally { passed: 0, failed: 1, skipped: 0 });
        let (tally, verdict) = judge(Ok(Outcome::Skipped("no network".into())));
        assert_eq!(tally, Tally { passed: 0, failed: 0, skipped: 1 });
        assert_eq!(verdict, "SKIPPED no network");
    }

    #[test]
    fn step_names_are_distinct() {
        let mut names = STEPS.map(|step| step.name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }
}
