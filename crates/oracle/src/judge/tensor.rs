//! The verdict on one tensor.

use ndarray::ArrayD;
use safetensors::tensor::Dtype;

use super::compare::{compare, same};
use super::verdict::{Finding, Verdict};
use crate::bound::{Profile, Units};
use crate::case::{Case, Class};
use crate::error::Result;
use crate::ops::{Output, Problem, evaluate};
use crate::tensors::Tensor;

/// How to judge.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The units to judge by, instead of those of each tensor's type.
    pub profile: Option<Profile>,
}

/// Judges tensors of one case.
#[derive(Clone)]
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

    /// One that judges otherwise.
    pub(crate) fn with(&self, options: Options) -> Self {
        Self { options, ..self.clone() }
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
        let bound = (output.bound)(units);
        match self.class {
            // Moments are known exactly, and the bound is of the sample: twice 6 standard errors would be 12.
            Class::Stat => bound,
            _ => bound + (output.bound)(&Profile::F64.units(false)),
        }
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
            *left = if same(got, want) || want.is_finite() { 0.0 } else { f64::NAN };
        }
    }
}
