//! The verdict on one submission: every expected tensor, element by element.

use ndarray::{ArrayD, Dimension};
use safetensors::tensor::Dtype;

use crate::bound::{Profile, Units};
use crate::case::{Case, Class, Op};
use crate::digest::digest;
use crate::error::wrong;
use crate::ops::layer::Problem;
use crate::ops::{Output, evaluate};
use crate::{Result, Tensor, TensorFile, judge::hypothesis, ops};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every element is within its bound.
    Pass,
    /// One is not, or a tensor is missing or has another shape.
    Fail,
    /// There is no submission, or nothing can be said.
    NotRun,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::NotRun => "NOT_RUN",
        })
    }
}

/// How to judge.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The units to judge by, instead of those of each tensor's type.
    pub profile: Option<Profile>,
}

/// The verdict on one tensor.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Without `out.`.
    pub tensor: String,
    /// What came of it.
    pub verdict: Verdict,
    /// The largest |got − want|/bound: at most 1 passes, except where elements must be equal.
    pub rho: f64,
    /// The same with √k in the place of k roundings. Not judged by.
    pub rho_sqrt: f64,
    /// Where that is, and the numbers there.
    pub worst: Option<Worst>,
    /// The units it was judged by.
    pub profile: Option<Profile>,
    /// What numbers cannot say.
    pub note: Option<String>,
}

/// The element furthest off.
#[derive(Clone, Debug)]
pub struct Worst {
    /// Its index.
    pub index: Vec<usize>,
    /// What the submission has.
    pub got: f64,
    /// What is expected.
    pub want: f64,
    /// What it may be off.
    pub bound: f64,
}

/// The verdict on one case.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its id.
    pub case: String,
    /// Its flags.
    pub flags: Vec<String>,
    /// What came of it.
    pub verdict: Verdict,
    /// Each expected tensor, in the order it is computed in: the first that fails is where it goes wrong.
    pub findings: Vec<Finding>,
    /// The mistake that gives these numbers.
    pub hypothesis: Option<String>,
    /// Of the case.
    pub digest: String,
    /// What is odd and not judged.
    pub warnings: Vec<String>,
}

/// Judge a submission; `None` is not run.
///
/// # Errors
/// The case is wrong. Whatever is wrong with the submission is a verdict.
pub fn check(
    file: &TensorFile,
    submission: Option<&TensorFile>,
    options: Options,
) -> Result<Report> {
    let case = Case::of(file)?;
    let id = case.id.clone().ok_or_else(|| wrong("case: id is missing"))?;
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
        let note = match refusal {
            Some(error) => format!("refused: {error}"),
            None => "numbers where an error is expected: metadata has no key \"error\"".into(),
        };
        let verdict = if refusal.is_some() { Verdict::Pass } else { Verdict::Fail };
        report.verdict = verdict;
        report.findings.push(Finding::without_numbers("error", verdict, note));
        return Ok(report);
    }

    let problem = Problem::read(&case, file)?;
    let outputs = expected(&case, file, &problem, &mut report.warnings)?;
    let judge = Judge::new(&case, &problem, options)?;
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
    for name in submission.tensors.keys().filter(|name| name.starts_with("out.")) {
        let expected = |output: &Output| {
            let full = format!("out.{}", output.name);
            // Samples stand for their moments and their support.
            let stands = |rest: &str| class == Class::Stat && rest.starts_with('.');
            *name == full || full.strip_prefix(name.as_str()).is_some_and(stands)
        };
        if !outputs.iter().any(|(output, _)| expected(output)) {
            report.warnings.push(format!("{name} of the submission is not expected"));
        }
    }
    for finding in report.findings.iter().filter(|finding| finding.verdict == Verdict::NotRun) {
        let note = finding.note.as_deref().unwrap_or_default();
        report.warnings.push(format!("out.{} is not judged: {note}", finding.tensor));
    }
    let verdicts = || report.findings.iter().map(|finding| finding.verdict);
    report.verdict = if verdicts().any(|verdict| verdict == Verdict::Fail) {
        Verdict::Fail
    } else if verdicts().all(|verdict| verdict == Verdict::NotRun) {
        Verdict::NotRun
    } else {
        Verdict::Pass
    };
    if report.verdict == Verdict::Fail && case.op != Op::Init {
        report.hypothesis =
            hypothesis::explain(&case, &problem, &outputs, submission, &report, &judge);
    }
    Ok(report)
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
    let shape = ops::sample_shape(problem, parameter)?;
    let samples = submission.tensors.get(&format!("out.{parameter}"))?;
    if samples.shape != shape {
        let got = &samples.shape;
        return Some(Err(format!("samples have shape {got:?} where {shape:?} is expected")));
    }
    let statistic = if kind == "support" { ops::support } else { ops::means };
    let made = samples.to_f64().map(|numbers| (Tensor::f64(&statistic(&numbers)), samples.dtype));
    Some(made.map_err(|error| error.to_string()))
}

/// What is computed here, with the numbers of the file where it has them.
pub(crate) fn expected(
    case: &Case,
    file: &TensorFile,
    problem: &Problem,
    warnings: &mut Vec<String>,
) -> Result<Vec<(Output, ArrayD<f64>)>> {
    let outputs = evaluate(case.op, problem)?;
    let named = |name: &str| outputs.iter().any(|output| output.name == name);
    let given = || file.tensors.keys().filter_map(|name| name.strip_prefix("out."));
    if let Some(name) = given().find(|name| !named(name)) {
        let (method, op) = (case.method, case.op);
        return Err(wrong(format!("out.{name} is no output of {method}/{op}")));
    }
    let all = given().next().is_none();
    let mut list = Vec::new();
    for output in outputs {
        let name = &output.name;
        let Some(tensor) = file.tensors.get(&format!("out.{name}")) else {
            if all {
                let value = output.value.clone();
                list.push((output, value));
            }
            continue;
        };
        let want = tensor.to_f64().map_err(|error| wrong(format!("out.{name} {error}")))?;
        let (got, needed) = (want.shape(), output.value.shape());
        if got != needed {
            return Err(wrong(format!("out.{name} has shape {got:?} where {needed:?} is needed")));
        }
        if !agree(&output, &want, case.class == Some(Class::Acceptable)) {
            warnings.push(format!("out.{name} of the case is not what this program computes"));
        }
        list.push((output, want));
    }
    Ok(list)
}

/// Is the file's value the one computed here, up to what `f64` may be off and one rounding? Where several results are
/// acceptable the file has one of them.
fn agree(output: &Output, want: &ArrayD<f64>, several: bool) -> bool {
    let units = Profile::F64.units(false);
    let bound = (output.bound)(&units);
    output.value.iter().zip(want).zip(&bound).all(|((value, want), bound)| {
        let same = value == want || (value.is_nan() && want.is_nan());
        let either = several && !value.is_finite();
        same || either || (value - want).abs() <= bound + units.store * want.abs()
    })
}

/// Judges tensors of one case.
pub(crate) struct Judge {
    class: Class,
    flush: bool,
    options: Options,
    holds: Vec<(Profile, bool)>,
    /// What an implementation gives where ∞ · 0 is NaN and not 0, if the case accepts that.
    alternative: Vec<Output>,
    /// Where infinities cancel or meet a factor 0, any value that is not finite will do.
    any_non_finite: bool,
}

impl Judge {
    pub(crate) fn new(case: &Case, problem: &Problem, options: Options) -> Result<Self> {
        let class = case.class.unwrap_or_default();
        let profiles = [Profile::F64, Profile::F32, Profile::Tf32, Profile::Bf16, Profile::Fp16];
        let holds = profiles
            .map(|profile| (profile, problem.inputs.values().all(|number| profile.holds(number))));
        let mut multiplied = problem.clone();
        let dropped = ["InfTimesDropped", "NaNTimesDropped"].iter().any(|flag| case.has_flag(flag));
        let dropped = class == Class::Acceptable && dropped && multiplied.inputs.multiply_masks();
        let alternative = if dropped { evaluate(case.op, &multiplied)? } else { Vec::new() };
        let acceptable = class == Class::Acceptable;
        let any_non_finite = acceptable && case.has_flag("AnyNonFinite");
        let flush = case.has_flag("FTZ");
        Ok(Self { class, flush, options, holds: holds.to_vec(), alternative, any_non_finite })
    }

    /// The units for a tensor of this type.
    pub(crate) fn units(&self, dtype: Dtype) -> Option<(Profile, Units)> {
        let profile = self.options.profile.or(match dtype {
            Dtype::F64 => Some(Profile::F64),
            Dtype::F32 => Some(Profile::F32),
            Dtype::BF16 => Some(Profile::Bf16),
            Dtype::F16 => Some(Profile::Fp16),
            _ => None,
        })?;
        let held = self.holds.iter().any(|&(of, holds)| of == profile && holds);
        Some((profile, Units { inputs_round: !held, ..profile.units(self.flush) }))
    }

    /// What the submission's tensor may be off: its own roundings, and those of the reference in `f64`.
    pub(crate) fn bound(&self, output: &Output, units: &Units) -> ArrayD<f64> {
        (output.bound)(units) + (output.bound)(&Profile::F64.units(false))
    }

    /// The verdict on one tensor.
    pub(crate) fn tensor(
        &self,
        output: &Output,
        want: &ArrayD<f64>,
        tensor: &Tensor,
        dtype: Dtype,
    ) -> Finding {
        let fail = |note| Finding::without_numbers(&output.name, Verdict::Fail, note);
        let (got, needed) = (&tensor.shape, want.shape());
        if got != needed {
            return fail(format!("has shape {got:?} where {needed:?} is expected"));
        }
        let got = match tensor.to_f64() {
            Ok(got) => got,
            Err(error) => return fail(error.to_string()),
        };
        let Some((profile, units)) = self.units(dtype) else {
            return fail(format!("has type {dtype}"));
        };
        let finding = match &output.residual {
            Some(residual) if matches!(self.class, Class::Residual | Class::Stat) => {
                let [mut left, allowed] = residual(&got, &units);
                if self.class == Class::Residual {
                    expect_not_finite(&mut left, &got, want);
                }
                let zeros = ArrayD::zeros(left.shape());
                let mut finding = compare(&left, &zeros, &allowed, &allowed, |_, _, _| false);
                let stat = self.class == Class::Stat;
                let what =
                    if stat { "beyond the support" } else { "left over of s² ĝ A Aᵀ = g" };
                finding.note = Some(what.into());
                finding
            }
            _ => self.elements(output, want, &got, &units),
        };
        Finding { tensor: output.name.clone(), profile: Some(profile), ..finding }
    }

    fn elements(
        &self,
        output: &Output,
        want: &ArrayD<f64>,
        got: &ArrayD<f64>,
        units: &Units,
    ) -> Finding {
        if self.class == Class::Exact {
            let zeros = ArrayD::zeros(want.shape());
            return compare(got, want, &zeros, &zeros, |_, _, _| false);
        }
        let bound = self.bound(output, units);
        let smaller = self.bound(output, &Units { square_root: true, ..*units });
        let other = self.alternative.iter().find(|other| other.name == output.name);
        let other: Vec<f64> =
            other.map(|other| other.value.iter().copied().collect()).unwrap_or_default();
        // Where an infinity is a term, though a factor 0 may have hidden it.
        let reached: Vec<bool> = match self.any_non_finite {
            true => output.gauge().iter().map(|gauge| !gauge.is_finite()).collect(),
            false => Vec::new(),
        };
        compare(got, want, &bound, &smaller, |at, got, want| {
            let dropped = other.get(at).is_some_and(|number| number.is_nan());
            let reached =
                reached.get(at) == Some(&true) || self.any_non_finite && !want.is_finite();
            !got.is_finite() && (dropped || reached)
        })
    }
}

/// A row of a solution that is not finite leaves nothing over that a number could measure: there NaN must be NaN, and an
/// infinity the same one.
fn expect_not_finite(left: &mut ArrayD<f64>, got: &ArrayD<f64>, want: &ArrayD<f64>) {
    for ((mut left, got), want) in
        left.outer_iter_mut().zip(got.outer_iter()).zip(want.outer_iter())
    {
        if want.iter().all(|want| want.is_finite()) {
            continue;
        }
        for ((left, &got), &want) in left.iter_mut().zip(&got).zip(&want) {
            let same = got == want || (got.is_nan() && want.is_nan());
            *left = if same || want.is_finite() { 0.0 } else { f64::NAN };
        }
    }
}

/// |got − want|/bound at every element, and the largest. `excused` says which elements pass all the same.
pub(crate) fn compare(
    got: &ArrayD<f64>,
    want: &ArrayD<f64>,
    bound: &ArrayD<f64>,
    smaller: &ArrayD<f64>,
    excused: impl Fn(usize, f64, f64) -> bool,
) -> Finding {
    let (mut rho, mut rho_sqrt, mut worst) = (0.0, 0.0, None);
    let mut judged = got.is_empty();
    for (at, ((index, &got), &want)) in got.indexed_iter().zip(want).enumerate() {
        if excused(at, got, want) {
            judged = true;
            continue;
        }
        let of = |bound: &ArrayD<f64>| bound.get(index.clone()).copied().unwrap_or(f64::NAN);
        let (allowed, ratio) = (of(bound), ratio(got, want, of(bound)));
        let vacuous = allowed == f64::INFINITY && got.is_finite() && want.is_finite();
        judged |= !vacuous;
        let sqrt = self::ratio(got, want, of(smaller));
        rho_sqrt = if sqrt <= rho_sqrt { rho_sqrt } else { sqrt };
        if worst.is_none() || !(ratio <= rho) {
            rho = ratio;
            worst = Some(Worst { index: index.slice().to_vec(), got, want, bound: allowed });
        }
    }
    let verdict = match (judged, rho <= 1.0) {
        (_, false) => Verdict::Fail,
        (true, true) => Verdict::Pass,
        (false, true) => Verdict::NotRun,
    };
    let note = (verdict == Verdict::NotRun)
        .then(|| "the bound is infinite: in this format nothing can be said".to_owned());
    Finding { tensor: String::new(), verdict, rho, rho_sqrt, worst, profile: None, note }
}

/// ρ of one element: 0 when nothing is off, ∞ when the bound allows nothing, or when anything is NaN that should not be.
fn ratio(got: f64, want: f64, bound: f64) -> f64 {
    if got == want || (got.is_nan() && want.is_nan()) {
        return 0.0;
    }
    if !got.is_finite() || !want.is_finite() {
        return f64::INFINITY;
    }
    let ratio = (got - want).abs() / bound;
    if ratio.is_nan() || bound <= 0.0 { f64::INFINITY } else { ratio }
}

impl Finding {
    fn without_numbers(tensor: &str, verdict: Verdict, note: String) -> Self {
        let rho = if verdict == Verdict::Fail { f64::INFINITY } else { 0.0 };
        let tensor = tensor.to_owned();
        Self { tensor, verdict, rho, rho_sqrt: rho, worst: None, profile: None, note: Some(note) }
    }
}

impl Report {
    /// The first tensor that fails: those before it are right, so this is where it goes wrong.
    pub fn divergence(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.verdict == Verdict::Fail)
    }
}
