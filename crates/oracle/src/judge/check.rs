//! The verdict on one submission: every expected tensor, element by element.

use safetensors::tensor::Dtype;

use super::bench::Bench;
use super::names::{missing, unexpected};
use super::tensor::{Judge, Options};
use super::verdict::{Finding, Report, Verdict};
use crate::case::{Case, Class, Op};
use crate::diagnosis::{Mistake, Says, Submitted, Witness, diagnose, no_refusal};
use crate::digest::digest;
use crate::error::{Result, wrong};
use crate::ops::{moments, sample_shape, support};
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
    let mut reports = [check_case(&Case::of(file)?, file, submission, options)?];
    // One case that fails has been asked about every mistake.
    diagnose(&mut reports, &|_, mistakes| vec![Says::Nothing; mistakes.len()]);
    let [report] = reports;
    Ok(report)
}

/// What a case expects, computed once, to judge any number of submissions by.
pub struct Truth {
    bench: Bench,
    report: Report,
}

impl Truth {
    /// # Errors
    /// The case is wrong, or expects an error and no numbers.
    pub fn of(file: &TensorFile) -> Result<Self> {
        let case = Case::of(file)?;
        if case.class == Some(Class::Reject) {
            return Err(wrong("case: class is reject, and there are no numbers to judge by"));
        }
        let report = unjudged(&case, file)?;
        Ok(Self { bench: Bench::read(&case, file, Options::default())?, report })
    }

    /// The verdict on a submission, as [`check`] gives it, without the search for the mistake.
    pub fn judge(&self, submission: &TensorFile, options: Options) -> Report {
        let mut report = self.report.clone();
        judge_numbers(&mut report, &self.bench, &self.bench.judge.with(options), submission);
        report
    }
}

/// The verdict on a case that was parsed already, and what it says of each mistake.
pub(crate) fn check_case(
    case: &Case,
    file: &TensorFile,
    submission: Option<&TensorFile>,
    options: Options,
) -> Result<Report> {
    let mut report = unjudged(case, file)?;
    let Some(submission) = submission else { return Ok(report) };
    if case.class == Some(Class::Reject) {
        let finding = judge_refusal(submission.metadata.get("error"));
        report.verdict = finding.verdict;
        report.findings.push(finding);
        if report.verdict == Verdict::Pass {
            report.warnings.extend(unexpected(submission, &[], Class::Reject));
        }
        report.evidence =
            (report.verdict == Verdict::Fail).then(|| no_refusal(case.method, case.op));
        return Ok(report);
    }
    let bench = Bench::read(case, file, options)?;
    let witness = judge_numbers(&mut report, &bench, &bench.judge, submission);
    report.evidence = (report.verdict == Verdict::Fail).then(|| witness.all());
    Ok(report)
}

/// The report on a case for which there is no submission.
fn unjudged(case: &Case, file: &TensorFile) -> Result<Report> {
    let id = case.id.clone().ok_or_else(|| wrong("case: id is missing"))?;
    if case.params().is_ok_and(|params| params.free) {
        let reason = "case: params.free is for emit alone: errors pile up freely, and no bound holds for them";
        return Err(wrong(reason));
    }
    Ok(Report {
        case: id,
        flags: case.flags.clone(),
        verdict: Verdict::NotRun,
        findings: Vec::new(),
        hypothesis: None,
        digest: digest(file),
        warnings: Vec::new(),
        size: 0,
        rule: case.rule(),
        evidence: None,
    })
}

/// Writes the verdict on every tensor into the report; returns what can be asked about the mistakes.
fn judge_numbers<'b>(
    report: &mut Report,
    bench: &'b Bench,
    judge: &Judge,
    submission: &TensorFile,
) -> Witness<'b> {
    let (findings, witness) = judge_tensors(bench, judge, submission);
    report.verdict = overall(&findings);
    report.size = bench.expected.iter().map(|(_, want)| want.len()).sum();
    report.findings = findings;
    report.warnings.extend(bench.warnings.iter().cloned());
    report.warnings.extend(unexpected(submission, &bench.expected, bench.class));
    for finding in report.findings.iter().filter(|finding| finding.verdict == Verdict::NotRun) {
        let note = finding.note.as_deref().unwrap_or_default();
        report.warnings.push(format!("out.{} is not judged: {note}", finding.tensor));
    }
    witness
}

/// What a case says of these mistakes.
///
/// # Errors
/// The case is wrong.
pub(crate) fn ask_case(
    case: &Case,
    file: &TensorFile,
    submission: &TensorFile,
    options: Options,
    mistakes: &[Mistake],
) -> Result<Vec<Says>> {
    if case.class == Some(Class::Reject) {
        return Ok(vec![Says::Nothing; mistakes.len()]);
    }
    let bench = Bench::read(case, file, options)?;
    Ok(judge_tensors(&bench, &bench.judge, submission).1.of(mistakes))
}

/// The verdict on every tensor, and what can be asked about the mistakes.
fn judge_tensors<'b>(
    bench: &'b Bench,
    judge: &Judge,
    submission: &TensorFile,
) -> (Vec<Finding>, Witness<'b>) {
    let refusal = submission.metadata.get("error");
    let (mut findings, mut values, mut dtypes) = (Vec::new(), Vec::new(), Vec::new());
    for (output, want) in &bench.expected {
        let fail = |note| Finding::without_numbers(&output.name, Verdict::Fail, note);
        let given = submitted(submission, bench, &output.name);
        let (finding, numbers) = match (given, refusal) {
            (None, Some(error)) => (fail(format!("refused: {error}")), None),
            // Which of the two is meant nobody can say.
            (Some(_), Some(error)) => {
                let note =
                    "the metadata has \"error\" where numbers are expected, so none is judged";
                (fail(format!("refused: {error}: {note}")), None)
            }
            (Some(Ok((tensor, dtype))), None) => {
                let numbers = tensor.to_f64().ok().filter(|got| got.shape() == want.shape());
                let finding = judge.tensor(output, want, &tensor, dtype);
                (finding, numbers.map(|numbers| (numbers, dtype)))
            }
            (Some(Err(note)), None) => (fail(note), None),
            (None, None) => (fail(missing(submission, &output.name, bench)), None),
        };
        findings.push(finding);
        dtypes.push(numbers.as_ref().map(|(_, dtype)| *dtype));
        values.push(numbers.map(|(numbers, _)| numbers));
    }
    let passes = findings.iter().map(|finding| finding.verdict != Verdict::Fail).collect();
    (findings, Witness { bench, submitted: Submitted { values, passes }, dtypes })
}

/// Where an error is expected, the submission must have one.
fn judge_refusal(refusal: Option<&String>) -> Finding {
    let (verdict, note) = match refusal {
        Some(error) => (Verdict::Pass, format!("refused: {error}")),
        None => {
            let note = "no error where one is expected: the metadata has no key \"error\"";
            (Verdict::Fail, note.into())
        }
    };
    Finding::without_numbers("error", verdict, note)
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
    bench: &Bench,
    name: &str,
) -> Option<std::result::Result<(Tensor, Dtype), String>> {
    if let Some(tensor) = submission.tensors.get(&format!("out.{name}")) {
        return Some(Ok((tensor.clone(), tensor.dtype)));
    }
    // What has a point in another op's name is the step of a trajectory.
    let (parameter, kind) = name.rsplit_once('.').filter(|_| bench.op == Op::Init)?;
    let shape = sample_shape(&bench.problem, parameter)?;
    let samples = submission.tensors.get(&format!("out.{parameter}"))?;
    if samples.shape != shape {
        let got = &samples.shape;
        return Some(Err(format!("samples have shape {got:?} where {shape:?} is expected")));
    }
    let statistic = if kind == "support" { support } else { moments };
    let made = samples.to_f64().map(|numbers| (Tensor::f64(&statistic(&numbers)), samples.dtype));
    Some(made.map_err(|error| error.to_string()))
}
