//! The verdict on one submission: every expected tensor, element by element.

use ndarray::ArrayD;
use safetensors::tensor::Dtype;

use super::expected::expected;
use super::hypothesis::explain;
use super::tensor::{Judge, Options};
use super::verdict::{Finding, Report, Verdict};
use crate::case::{Case, Class, Op};
use crate::digest::digest;
use crate::error::{Result, wrong};
use crate::ops::{Output, Problem, moments, sample_shape, support};
use crate::tensors::{Tensor, TensorFile};

/// Judge a submission; `None` is not run.
///
/// # Errors
/// The case is wrong. Whatever is wrong with the submission is a verdict.
pub fn check(
    file: &TensorFile,
    submission: Option<&TensorFile>,
    options: Options,
) -> Result<Report> {
    check_case(&Case::of(file)?, file, submission, options)
}

/// [`check`] of a case that was parsed already.
pub(crate) fn check_case(
    case: &Case,
    file: &TensorFile,
    submission: Option<&TensorFile>,
    options: Options,
) -> Result<Report> {
    let id = case.id.clone().ok_or_else(|| wrong("case: id is missing"))?;
    if case.params().is_ok_and(|params| params.free) {
        let reason = "case: params.free is for emit alone: errors pile up freely, and no bound holds for them";
        return Err(wrong(reason));
    }
    let class = case.class.unwrap_or_default();
    let mut report = Report {
        case: id,
        flags: case.flags.clone(),
        verdict: Verdict::NotRun,
        findings: Vec::new(),
        hypothesis: None,
        digest: digest(file),
        warnings: Vec::new(),
    };
    let Some(submission) = submission else { return Ok(report) };
    let refusal = submission.metadata.get("error");
    if class == Class::Reject {
        let finding = judge_refusal(refusal);
        report.verdict = finding.verdict;
        report.findings.push(finding);
        return Ok(report);
    }

    let problem = Problem::read(case, file)?;
    let outputs = expected(case, file, &problem, &mut report.warnings)?;
    let judge = Judge::new(case, &problem, options)?;
    for (output, want) in &outputs {
        let finding = match submitted(submission, &problem, &output.name) {
            Some(Ok((tensor, dtype))) => judge.tensor(output, want, &tensor, dtype),
            Some(Err(note)) => Finding::without_numbers(&output.name, Verdict::Fail, note),
            None => {
                let note =
                    refusal.map_or("is missing".to_owned(), |error| format!("refused: {error}"));
                Finding::without_numbers(&output.name, Verdict::Fail, note)
            }
        };
        report.findings.push(finding);
    }
    report.warnings.extend(unexpected(submission, &outputs, class));
    for finding in report.findings.iter().filter(|finding| finding.verdict == Verdict::NotRun) {
        let note = finding.note.as_deref().unwrap_or_default();
        report.warnings.push(format!("out.{} is not judged: {note}", finding.tensor));
    }
    report.verdict = overall(&report.findings);
    if report.verdict == Verdict::Fail && case.op != Op::Init {
        report.hypothesis = explain(case, &problem, &outputs, submission, &report, &judge);
    }
    Ok(report)
}

/// Where an error is expected, the submission must have one.
fn judge_refusal(refusal: Option<&String>) -> Finding {
    let (verdict, note) = match refusal {
        Some(error) => (Verdict::Pass, format!("refused: {error}")),
        None => {
            let note = "numbers where an error is expected: metadata has no key \"error\"";
            (Verdict::Fail, note.into())
        }
    };
    Finding::without_numbers("error", verdict, note)
}

/// A warning for each output of the submission that the case does not ask for.
fn unexpected(
    submission: &TensorFile,
    outputs: &[(Output, ArrayD<f64>)],
    class: Class,
) -> Vec<String> {
    let asked_for = |name: &str| {
        outputs.iter().any(|(output, _)| {
            let full = format!("out.{}", output.name);
            // Samples stand for their moments and their support.
            let stands = |statistic: &str| class == Class::Stat && statistic.starts_with('.');
            name == full || full.strip_prefix(name).is_some_and(stands)
        })
    };
    let given = submission.tensors.keys().filter(|name| name.starts_with("out."));
    given
        .filter(|name| !asked_for(name))
        .map(|name| format!("{name} of the submission is not expected"))
        .collect()
}

/// The verdict on a case, from those on its tensors.
fn overall(findings: &[Finding]) -> Verdict {
    let mut verdicts = findings.iter().map(|finding| finding.verdict);
    if verdicts.clone().any(|verdict| verdict == Verdict::Fail) {
        Verdict::Fail
    } else if verdicts.all(|verdict| verdict == Verdict::NotRun) {
        Verdict::NotRun
    } else {
        Verdict::Pass
    }
}

/// The submission's tensor and the type to judge it by. Samples stand for their moments and their support, `lora_A` for
/// `lora_A.moments` and `lora_A.support`.
fn submitted(
    submission: &TensorFile,
    problem: &Problem,
    name: &str,
) -> Option<std::result::Result<(Tensor, Dtype), String>> {
    if let Some(tensor) = submission.tensors.get(&format!("out.{name}")) {
        return Some(Ok((tensor.clone(), tensor.dtype)));
    }
    let (parameter, kind) = name.rsplit_once('.')?;
    let shape = sample_shape(problem, parameter)?;
    let samples = submission.tensors.get(&format!("out.{parameter}"))?;
    if samples.shape != shape {
        let got = &samples.shape;
        return Some(Err(format!("samples have shape {got:?} where {shape:?} is expected")));
    }
    let statistic = if kind == "support" { support } else { moments };
    let made = samples.to_f64().map(|numbers| (Tensor::f64(&statistic(&numbers)), samples.dtype));
    Some(made.map_err(|error| error.to_string()))
}
