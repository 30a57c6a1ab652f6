//! The verdict on every step of a run.

use std::collections::BTreeMap;
use std::path::Path;

use super::chain::Chain;
use super::run::{Run, StepId, read};
use crate::case::Case;
use crate::diagnosis::{Diagnosis, Says, diagnose};
use crate::emit::emit_case;
use crate::error::{Result, at, wrong};
use crate::judge::{Options, Report, Verdict, ask_case, check_case};
use crate::tensors::TensorFile;

/// A run, judged.
#[derive(Debug)]
pub struct Followed {
    /// In the order of the run.
    pub steps: Vec<FollowedStep>,
    /// What explains the steps that are wrong, by all from the first of them on.
    pub diagnosis: Diagnosis,
}

/// A step, judged from its own state.
#[derive(Clone, Debug)]
pub struct FollowedStep {
    /// Which it is.
    pub id: StepId,
    /// Whether what it gives follows from what it was given.
    pub report: Report,
    /// What it was given that is not what the step before left.
    pub breaks: Vec<String>,
}

impl FollowedStep {
    /// Whether it begins where the one before ended and gives what it must; `None` if nothing can be said of what it gives.
    pub fn right(&self) -> Option<bool> {
        match self.report.verdict {
            Verdict::Pass | Verdict::NotRun if !self.breaks.is_empty() => Some(false),
            Verdict::Pass => Some(true),
            Verdict::Fail => Some(false),
            Verdict::NotRun => None,
        }
    }
}

impl Followed {
    /// The first step that is wrong.
    pub fn first_wrong(&self) -> Option<&FollowedStep> {
        self.steps.iter().find(|step| step.right() == Some(false))
    }

    /// Whether this step of the run is right; `None` if it is not recorded, or nothing can be said of it.
    pub fn right(&self, id: &StepId) -> Option<bool> {
        self.steps.iter().find(|step| step.id == *id).and_then(FollowedStep::right)
    }
}

/// Judge every step of a run from the state that the run had before it.
///
/// # Errors
/// A step cannot be read, its case is wrong, or it has no `out.*`.
pub fn follow(run: &Run, options: Options) -> Result<Followed> {
    let mut chains = BTreeMap::<&str, Chain>::new();
    let (mut reports, mut breaks) = (Vec::new(), Vec::new());
    for (id, path) in &run.steps {
        let (case, file) = read(id, path)?;
        let (expected, answer) = split(&case, &file).map_err(at(path))?;
        let judged = check_case(&case, &expected, Some(&answer), options);
        reports.push(judged.map_err(at(path))?);
        breaks.push(chains.entry(&id.layer).or_default().next(id, &case, &file).map_err(at(path))?);
    }
    // A mistake may begin in the midst of a run: the steps before it say nothing against it.
    let failed = |report: &Report| report.verdict == Verdict::Fail;
    let from = reports.iter().position(failed).unwrap_or(0);
    let ask = |step: usize, mistakes: &[_]| -> Result<Vec<Says>> {
        let (case, expected, answer) =
            read_split(&run.steps[from + step].0, &run.steps[from + step].1)?;
        ask_case(&case, &expected, &answer, options, mistakes)
    };
    let diagnosis = diagnose(&mut reports[from..], &|step, mistakes| {
        // A file that has changed since it was judged says nothing any more.
        ask(step, mistakes).unwrap_or_else(|_| vec![Says::Nothing; mistakes.len()])
    });
    let ids = run.steps.iter().map(|(id, _)| id.clone());
    let steps = ids.zip(reports).zip(breaks);
    let steps = steps.map(|((id, report), breaks)| FollowedStep { id, report, breaks });
    Ok(Followed { steps: steps.collect(), diagnosis })
}

/// What the step should have given, of what it recorded, and what it did give.
pub(super) fn split(case: &Case, file: &TensorFile) -> Result<(TensorFile, TensorFile)> {
    let is_output = |name: &String| name.starts_with("out.");
    let (mut inputs, mut answer) = (file.clone(), TensorFile::default());
    inputs.tensors.retain(|name, _| !is_output(name));
    answer.tensors = file.tensors.clone();
    answer.tensors.retain(|name, _| is_output(name));
    if answer.tensors.is_empty() {
        return Err(wrong("it has no out.*: record what the run came to beside what it was given"));
    }
    let mut expected = emit_case(case, &inputs)?;
    let known = |name: &String| expected.tensors.contains_key(name);
    if let Some(name) = answer.tensors.keys().find(|name| !known(name)) {
        return Err(wrong(format!("{name} is no output of {}/{}", case.method, case.op)));
    }
    expected.tensors.retain(|name, _| !is_output(name) || answer.tensors.contains_key(name));
    Ok((expected, answer))
}

/// The same of a file.
pub(super) fn read_split(id: &StepId, path: &Path) -> Result<(Case, TensorFile, TensorFile)> {
    let (case, file) = read(id, path)?;
    let (expected, answer) = split(&case, &file).map_err(at(path))?;
    Ok((case, expected, answer))
}
